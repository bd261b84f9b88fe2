/* Exactly once: the two taken words of each slot and the header's done word, and a collector that may die at any step.
 *
 * Processes: a producer that opens, fills and seals two slots, one of which is used again after it was freed; a collector that sweeps,
 * copies the next sweep ahead while it flushes one, and may die after any of its stores. What it had forwarded and not
 * flushed is then in the file, or not. Its successor starts with nothing but what is in shared memory and in the file.
 * A sweep's rows are one chunk, whose id is made from the ranges (slot, epoch, start, stop). A reader keeps one of
 * several chunks of one id. Every run ends; `Observer` asserts what must hold then.
 *
 * -D switches, each of which takes one guard away:
 *   DONE_BEFORE_FLUSH     the done word is stored before the flush
 *   TWO_STORES            taken and sweep are two stores (hazard 4)
 *   ONE_WORD              a slot has one taken word
 *   FORWARD_BEFORE_WORDS  chunks are forwarded before the words of all their slots are stored
 *   NO_RESUME             a new collector does not repeat its predecessor's sweep
 *   RESUME_TO_COUNT       it repeats it up to the count of now
 *   AHEAD_FROM_DONE       what is copied ahead begins at what is done, not where the sweep in flight ends
 *   TAKEN_CLEARED_FIRST   free clears the taken words before the count
 *   NO_EPOCH_IN_ID        chunk ids are made without the epoch (hazard 5)
 *   ONE_TOTAL             the producer's total is one word, added to in place
 */

#define SLOTS 2
#ifndef CAPACITY
#define CAPACITY 2
#endif
#ifndef EPOCHS
#define EPOCHS 2
#endif
#ifndef CRASHES
#define CRASHES 2
#endif

#define FREE 0
#define OPEN 1
#define SEALED 2

/* A taken word, as in layout: sweep << BITS | taken. */
#define BITS 2
#define SWEEP(word) ((word) >> BITS)
#define TAKEN(word) ((word) & 3)

byte state[SLOTS];
byte count[SLOTS];
byte epoch[SLOTS];
byte taken_a[SLOTS];
byte taken_b[SLOTS];
byte sweep_done;               /* Header.SWEEP_DONE */
byte total_a, total_a_sweep;   /* ProducerWord.TOTAL: two pairs of words */
byte total_b, total_b_sweep;

/* What nobody but the model knows. */
#define ROW(s, e, r) (((e) * SLOTS + (s)) * CAPACITY + (r))
byte committed[SLOTS * (EPOCHS + 1)];            /* rows whose log() has returned, by epoch and slot */
short chunk_of[SLOTS * (EPOCHS + 1) * CAPACITY]; /* the chunk in which a reader of the file sees the row; 0: in none */
byte crashes = CRASHES;

proctype Producer() {
  do
  :: d_step { state[0] == FREE && epoch[0] < EPOCHS -> state[0] = OPEN }
  :: d_step { state[1] == FREE && epoch[1] == 0 -> state[1] = OPEN }
  :: d_step { state[0] == OPEN && count[0] < CAPACITY -> count[0]++; committed[epoch[0] * SLOTS] = count[0] }
  :: d_step { state[1] == OPEN && count[1] < CAPACITY -> count[1]++; committed[epoch[1] * SLOTS + 1] = count[1] }
  :: d_step { state[0] == OPEN && count[0] > 0 -> state[0] = SEALED }
  :: d_step { state[1] == OPEN && count[1] > 0 -> state[1] = SEALED }
  :: break                                             /* and leaves what is open as it is */
  od
}

/* Ring.done and Ring.in_flight */
#define IF_DONE(word) (SWEEP(word) <= sweep_done -> TAKEN(word) : 0)
#define DONE(s) (IF_DONE(taken_a[s]) > IF_DONE(taken_b[s]) -> IF_DONE(taken_a[s]) : IF_DONE(taken_b[s]))
#define IS_IN_FLIGHT(word) (SWEEP(word) == sweep_done + 1)
#define IN_FLIGHT(s) (IS_IN_FLIGHT(taken_a[s]) -> TAKEN(taken_a[s]) : (IS_IN_FLIGHT(taken_b[s]) -> TAKEN(taken_b[s]) : 0))

/* A store of the collector's may be its last. */
#define MAY_DIE if :: true :: atomic { crashes > 0 -> crashes--; goto restart } fi

inline collect(s, begin, end) {
  /* Progress.moved and Sweeper._take */
  d_step {
    if
    :: state[s] != FREE && count[s] > DONE(s) -> begin = DONE(s); end = count[s]
    :: else -> begin = 0; end = 0
    fi
  }
}

inline collect_ahead(s) {
  /* Sweeper.collect(after=...): what the sweep in flight has is not new */
  d_step {
#ifdef AHEAD_FROM_DONE
    ahead_start[s] = DONE(s);
#else
    ahead_start[s] = (stop[s] -> stop[s] : DONE(s));
#endif
    if
    :: state[s] != FREE && count[s] > ahead_start[s] -> ahead_stop[s] = count[s]
    :: else -> ahead_start[s] = 0; ahead_stop[s] = 0
    fi
  }
}

inline collect_again(s) {
  /* Sweeper.collect(resume=True) */
  d_step {
    if
    :: IN_FLIGHT(s) ->
      start[s] = DONE(s);
#ifdef RESUME_TO_COUNT
      stop[s] = count[s]
#else
      stop[s] = IN_FLIGHT(s)
#endif
    :: else -> start[s] = 0; stop[s] = 0
    fi
  }
}

inline note(s) {
  /* Ring.take: over the older word, or over the one that a sweep which is repeated had written */
  if
  :: stop[s] > 0 ->
#ifdef ONE_WORD
    taken_a[s] = (number << BITS) | stop[s];
#else
    if
    :: SWEEP(taken_a[s]) == number || (taken_a[s] <= taken_b[s] && SWEEP(taken_b[s]) != number) ->
#ifdef TWO_STORES
      taken_a[s] = (SWEEP(taken_a[s]) << BITS) | stop[s];
      MAY_DIE;
#endif
      taken_a[s] = (number << BITS) | stop[s]
    :: else ->
#ifdef TWO_STORES
      taken_b[s] = (SWEEP(taken_b[s]) << BITS) | stop[s];
      MAY_DIE;
#endif
      taken_b[s] = (number << BITS) | stop[s]
    fi;
#endif
    MAY_DIE
  :: else
  fi
}

#ifdef NO_EPOCH_IN_ID
#define RANGE_ID(s) (stop[s] -> 1 + start[s] * (CAPACITY + 1) + stop[s] : 0)
#else
#define RANGE_ID(s) (stop[s] -> 1 + (epoch[s] * CAPACITY + start[s]) * (CAPACITY + 1) + stop[s] : 0)
#endif

inline forward() {
  /* RecordingStore.append: from now on the chunk may be in the file, and certainly is after the flush */
  d_step {
    forwarded = RANGE_ID(0) * 32 + RANGE_ID(1);
    assert(RANGE_ID(1) < 32)
  };
  MAY_DIE
}

inline reach_the_file() {
  d_step {
    /* A reader that has a chunk of this id already leaves this one out. */
    is_repeated = false;
    for (i : 0 .. SLOTS * (EPOCHS + 1) * CAPACITY - 1) {
      is_repeated = is_repeated || chunk_of[i] == forwarded
    };
    for (s : 0 .. SLOTS - 1) {
      for (i : start[s] .. stop[s] - 1) {
        if
        :: !is_repeated ->
          /* P5: a row once. */
          assert(chunk_of[ROW(s, epoch[s], i)] == 0);
          chunk_of[ROW(s, epoch[s], i)] = forwarded
        :: else
        fi
      }
    };
    i = 0; s = 0; is_repeated = false; forwarded = 0
  }
}

/* Ring._current */
#define A_IS_CURRENT (!(total_b_sweep <= sweep_done && (total_a_sweep < total_b_sweep || total_a_sweep > sweep_done)))

inline add_total() {
  /* Ring.add_total */
  rows = stop[0] - start[0] + stop[1] - start[1];
#ifdef ONE_TOTAL
  total_a = total_a + rows;
  MAY_DIE;
#else
  if
  :: A_IS_CURRENT -> total_b = total_a + rows; MAY_DIE; total_b_sweep = number
  :: else -> total_a = total_b + rows; MAY_DIE; total_a_sweep = number
  fi;
  MAY_DIE;
#endif
  rows = 0
}

inline free_done(s) {
  /* SlotFreer.free_done; Ring.free */
  if
  :: state[s] == SEALED && DONE(s) >= count[s] && ahead_stop[s] == 0 ->
    epoch[s]++;
    MAY_DIE;
#ifdef TAKEN_CLEARED_FIRST
    d_step { taken_a[s] = 0; taken_b[s] = 0 };
    MAY_DIE;
    count[s] = 0;
    MAY_DIE;
#else
    count[s] = 0;
    MAY_DIE;
    taken_a[s] = 0;
    MAY_DIE;
    taken_b[s] = 0;
    MAY_DIE;
#endif
    state[s] = FREE
  :: else
  fi
}

#define MAY_BE_FREED(s) (state[s] == SEALED && DONE(s) >= count[s])
#define HAS_NEWS(s) (state[s] != FREE && count[s] > DONE(s))

proctype Collector() {
  byte start[SLOTS], stop[SLOTS], ahead_start[SLOTS], ahead_stop[SLOTS];
  byte number, i, s, rows;
  short forwarded;
  bool is_repeated, is_resumed;
  goto collect_first;
restart:
  /* What was forwarded and not flushed is in the file, whole, or it is not: parts are trimmed to the last message. */
  if
  :: forwarded -> reach_the_file()
  :: forwarded = 0
  fi;
collect_first:
  skip;
  /* Worker.run */
  d_step {
    start[0] = 0; start[1] = 0; stop[0] = 0; stop[1] = 0;
    ahead_start[0] = 0; ahead_start[1] = 0; ahead_stop[0] = 0; ahead_stop[1] = 0;
    number = sweep_done + 1; is_resumed = true
  };
#ifndef NO_RESUME
  collect_again(0);
  collect_again(1);
#endif
  do
  :: stop[0] || stop[1] ->
    /* Pipeline.forward */
#ifdef FORWARD_BEFORE_WORDS
    forward();
#endif
    note(0);                                           /* Sweeper.begin */
    note(1);
#ifndef FORWARD_BEFORE_WORDS
    forward();
#endif
    if
    :: !is_resumed ->                                  /* looks_ahead */
      collect_ahead(0);
      collect_ahead(1)
    :: true
    fi;
#ifdef DONE_BEFORE_FLUSH
    sweep_done = number;
    MAY_DIE;
#endif
    reach_the_file();                                  /* RecordingStore.flush */
    MAY_DIE;
    add_total();                                       /* Sweeper.complete */
    sweep_done = number;
    MAY_DIE;
    free_done(0);
    free_done(1);
    d_step {
      start[0] = ahead_start[0]; stop[0] = ahead_stop[0]; start[1] = ahead_start[1]; stop[1] = ahead_stop[1];
      ahead_start[0] = 0; ahead_start[1] = 0; ahead_stop[0] = 0; ahead_stop[1] = 0;
      number = sweep_done + 1; is_resumed = false
    }
  :: !stop[0] && !stop[1] && (MAY_BE_FREED(0) || MAY_BE_FREED(1)) -> free_done(0); free_done(1)
  :: !stop[0] && !stop[1] && (HAS_NEWS(0) || HAS_NEWS(1)) ->
    is_resumed = false;
    collect(0, start[0], stop[0]);
    collect(1, start[1], stop[1])
  od
}

/* When nothing moves any more. */
proctype Observer() {
  byte e, r, sum;
  timeout;
  d_step {
    for (e : 0 .. SLOTS * EPOCHS - 1) {
      for (r : 0 .. CAPACITY - 1) {
        /* P2: what returned is in the file. */
        assert(r >= committed[e] || chunk_of[e * CAPACITY + r] != 0)
      };
      sum = sum + committed[e]
    };
    /* P6: rows logged = rows delivered. */
    assert((A_IS_CURRENT -> total_a : total_b) == sum);
    for (e : 0 .. SLOTS - 1) {
      assert(state[e] != SEALED)
    }
  }
}

init {
  atomic { run Producer(); run Collector(); run Observer() }
}
