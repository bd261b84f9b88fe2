/* One slot after the other: register, claim, commit, seal, take, seal for the dead, free, give an index back.
 *
 * Processes: producers that may be killed at any step or stay idle for ever, a collector that may be killed at any step
 * and starts again with nothing but what is in shared memory. Every statement is one load or one store of shared
 * memory, or one system call, of the function named beside it. Memory is sequentially consistent here; order.pml is
 * about machines where it is not. That a sweep's rows reach the store exactly once is sweep.pml's: here the copy of a
 * slot's news, their delivery and the note of it are one step.
 *
 * Every run ends, because the collector makes a step only if that changes something. The runner has spin prove that
 * there is no cycle, and what must hold at the end is asserted in `Observer`.
 *
 * -D switches, each of which takes one guard away:
 *   NO_SLOT_LOCK          claim without the slot's lock
 *   NO_LOOK_UNDER_LOCK    claim without looking at the state again under the lock
 *   COUNT_BEFORE_STATE    free by a count that was read before the state (hazard 10)
 *   INDEX_FREED_EARLY     an entry is freed before its slots are drained (hazard 3)
 *   SLOTS_BEFORE_LEASE    whose slots they are is read before the lease (a death suspected: lease, state, count)
 *   DEATH_GUESSED         an owner is taken for dead whose lease is held (hazard 1)
 *   STATE_FREED_FIRST     free stores FREE before it has cleared the line
 *   KEEP_ALWAYS           producers keep slots open between calls however few are left (hazard 16)
 */

#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef INDICES
#define INDICES 2
#endif
#ifndef ROWS
#define ROWS 2
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#define SLOTS 2
#define CAPACITY 2

/* layout.SlotState; the owner lies above, as in layout.pack_owner: index + INDICES * generation. */
#define FREE 0
#define OPEN 1
#define SEALED 2
#define STATE(word) ((word) & 3)
#define OWNER(word) ((word) >> 2)
#define PACK(state, owner) ((state) | ((owner) << 2))
#define NOBODY 255

/* One control line a slot. `taken` stands for the two taken words together with the header's: see sweep.pml. */
byte line_state[SLOTS];
byte line_count[SLOTS];
byte line_taken[SLOTS];
byte cell[SLOTS * CAPACITY];   /* payload: the number of the row, from 1 on */

/* One entry of the producers table: LIVE in bit 0, the generation above it. */
byte entry[INDICES];

/* The kernel's: who holds the lock on a producer's and on a slot's byte. */
byte lease[INDICES];
byte slot_lock[SLOTS];

/* What nobody but the model knows. */
bool delivered[PRODUCERS * ROWS + 1];
byte returned[PRODUCERS];      /* rows whose log() has returned */
byte writer[SLOTS];            /* the living process that takes the slot for its own, plus 1 */
bool killed[PRODUCERS];
bool is_waiting[PRODUCERS];
byte kept[PRODUCERS];          /* slot + 1 that a process keeps that lives on and never logs again */
byte kills = KILLS, crashes = CRASHES;

inline seal_slot() {
  /* SlotWriter.seal */
  d_step {
    assert(line_state[slot] == PACK(OPEN, owner));
    line_state[slot] = PACK(SEALED, owner);
    writer[slot] = 0;
    slot = NOBODY; keep = false; is_full = false;
  }
}

proctype Producer(byte me) {
  byte index, owner, slot = NOBODY, row, used, s;
  bool keep, is_full;
  {
    is_waiting[me] = true;
    /* registration._try_all: look, lock, look again under the lock, LIVE; the lease stays. */
  register:
    if
    :: atomic { !(entry[0] & 1) && lease[0] == 0 -> index = 0 }
#if INDICES > 1
    :: atomic { ((entry[0] & 1) || lease[0] != 0) && !(entry[1] & 1) && lease[1] == 0 -> index = 1 }
#endif
#if INDICES > 2
    :: atomic { ((entry[0] & 1) || lease[0] != 0) && !(entry[2] & 1) && lease[2] == 0 -> index = 2 }
#endif
    fi;
    if
    :: d_step { lease[index] == 0 -> lease[index] = me + 1; is_waiting[me] = false }
    :: else -> goto register
    fi;
    if
    :: d_step { entry[index] & 1 -> lease[index] = 0; is_waiting[me] = true }; goto register
    :: else
    fi;
    d_step { entry[index] = entry[index] + 3; owner = index + INDICES * (entry[index] >> 1) };

    do
    :: row < ROWS ->
      if
      :: slot != NOBODY
      :: else ->
        /* SlotWriter.claim under ClaimLocks; waiting is Producer._wait, with nothing held and nothing open. */
        is_waiting[me] = true;
      claim:
        if
        :: atomic { line_state[0] == FREE && slot_lock[0] == 0 -> s = 0 }
        :: atomic { line_state[1] == FREE && slot_lock[1] == 0 -> s = 1 }
        fi;
#ifndef NO_SLOT_LOCK
        if
        :: d_step { slot_lock[s] == 0 -> slot_lock[s] = me + 1 }
        :: else -> goto claim
        fi;
#endif
        d_step {
          if
#if !defined(NO_LOOK_UNDER_LOCK) && !defined(NO_SLOT_LOCK)
          :: line_state[s] != FREE -> slot_lock[s] = 0
#endif
          :: else ->
            /* I1, I5: a slot never has two writers. */
            assert(writer[s] == 0);
            line_state[s] = PACK(OPEN, owner);
            writer[s] = me + 1;
            slot = s;
            is_waiting[me] = false;
            slot_lock[s] = 0                           /* the claim closes its descriptor */
          fi
        };
        s = 0;
        if
        :: slot == NOBODY -> goto claim
        :: else
        fi;
        /* Ring.has_room_to_keep, after the OPEN store: three quarters of the slots may be held. */
#ifdef KEEP_ALWAYS
        keep = true
#else
        keep = !(STATE(line_state[0]) == OPEN && STATE(line_state[1]) == OPEN)
#endif
      fi;
      d_step {
        used = line_count[slot];
        /* I5: ownership moves only on release or death, so it is ours still; I3: below the capacity. */
        assert(line_state[slot] == PACK(OPEN, owner) && used < CAPACITY)
      };
      cell[slot * CAPACITY + used] = me * ROWS + row + 1;   /* SlotWriter.scatter, or a column of a table */
      d_step {                                         /* SlotWriter.commit; log() has returned */
        line_count[slot] = used + 1;
        returned[me]++;
        row++;
        is_full = (used + 1 == CAPACITY);
        used = 0;
        };
      if
      :: row == ROWS || is_full || !keep -> seal_slot()
      :: row < ROWS -> seal_slot()
      :: row < ROWS && !is_full && keep
#if INDICES > 1
      :: keep -> kept[me] = slot + 1; !(kept[me])      /* never: it lives on, with the slot open */
#endif
      fi
    :: else -> break
    od;
    skip;
    d_step { lease[index] = 0; index = 0; owner = 0; row = 0 }   /* Producer.close: all is sealed; Registration.release */
  } unless {
    d_step {
      killed[me] -> index = 0; owner = 0; slot = NOBODY; row = 0; used = 0; s = 0; keep = false; is_full = false
    }
  }
}

/* The collector makes a step when it would change something, in any order; the worker's fixed order is one of them. */

#define HAS_NEWS(s) (STATE(line_state[s]) != FREE && line_count[s] > line_taken[s])

inline take(s) {
  /* Sweeper._take: state, then count, then the copy of what lies between done and count. */
  d_step {
    HAS_NEWS(s) ->
    n = line_count[s];
    assert(n <= CAPACITY);                             /* I3 */
    for (at : line_taken[s] .. n - 1) {
      /* A row once, and whole. */
      assert(cell[s * CAPACITY + at] != 0);
      assert(!delivered[cell[s * CAPACITY + at]]);
      delivered[cell[s * CAPACITY + at]] = true
    };
    line_taken[s] = n;
    at = 0; n = 0
  }
}

#define OWNER_OF(i) (i + INDICES * (entry[i] >> 1))
#define OWNS(slot, i) (STATE(line_state[slot]) != FREE && OWNER(line_state[slot]) == OWNER_OF(i))
#define DEAD_AND_OPEN(slot, i) (line_state[slot] == PACK(OPEN, OWNER_OF(i)))
#ifdef DEATH_GUESSED
#define IS_DEAD(i) (entry[i] & 1)
#else
#define IS_DEAD(i) ((entry[i] & 1) && lease[i] == 0)
#endif

#ifdef INDEX_FREED_EARLY
#define MAY_FREE(i) true
#else
#define MAY_FREE(i) !(OWNS(0, i) || OWNS(1, i))
#endif

inline look(i) {
  /* DeadProducers.clear_up: state of the entry, lease, slots (Ring.owner_slots), Ring.seal_dead; the entry is freed last.
   * What follows the lease can be one step, because nobody else touches what a dead producer has left. */
  d_step {
    IS_DEAD(i) && (DEAD_AND_OPEN(0, i) || DEAD_AND_OPEN(1, i) || MAY_FREE(i)) ->
    if
    :: MAY_FREE(i) -> entry[i] = entry[i] & 254
    :: else ->
      if
      :: DEAD_AND_OPEN(0, i) -> line_state[0] = PACK(SEALED, OWNER_OF(i))
      :: else
      fi;
      if
      :: DEAD_AND_OPEN(1, i) -> line_state[1] = PACK(SEALED, OWNER_OF(i))
      :: else
      fi
    fi
  }
}

inline look_at_slots_first(i) {
  d_step { entry[i] & 1 -> owns = OWNS(0, i) || OWNS(1, i) };
  if
  :: d_step { IS_DEAD(i) && !owns -> entry[i] = entry[i] & 254 }
  :: else
  fi;
  owns = false
}

inline free_done(s) {
  /* SlotFreer.free_done: the state, then the count; Ring.free: the line first, the state last. */
#ifdef COUNT_BEFORE_STATE
  atomic { STATE(line_state[s]) != FREE -> n = line_count[s] };
  if
  :: STATE(line_state[s]) == SEALED && line_taken[s] >= n
#else
  if
  :: STATE(line_state[s]) == SEALED && line_taken[s] >= line_count[s]   /* sealed: the count is final */
#endif
#ifdef STATE_FREED_FIRST
    -> line_state[s] = FREE
#endif
    -> d_step {
      line_count[s] = 0; line_taken[s] = 0; n = 0;
      cell[s * CAPACITY] = 0; cell[s * CAPACITY + 1] = 0
    };
    if
    :: line_state[s] = FREE
    :: crashes > 0 -> crashes--                        /* dies here; its successor frees it again */
    fi
#ifdef COUNT_BEFORE_STATE
  :: else -> n = 0
#endif
  fi
}

proctype Collector() {
  byte n, at;
  bool owns;
  do
  :: take(0)
  :: take(1)
  :: look(0)
#if INDICES > 1
  :: look(1)
#endif
#if INDICES > 2
  :: look(2)
#endif
#ifdef SLOTS_BEFORE_LEASE
  :: look_at_slots_first(0)
#endif
  :: free_done(0)
  :: free_done(1)
  od
}

inline kill_producer(p) {
  /* The kernel lets go of mappings and descriptors, and with them of the locks. */
  d_step {
    kills--; killed[p] = true; is_waiting[p] = false; kept[p] = 0;
    for (i : 0 .. SLOTS - 1) {
      if
      :: writer[i] == p + 1 -> writer[i] = 0
      :: else
      fi;
      if
      :: slot_lock[i] == p + 1 -> slot_lock[i] = 0
      :: else
      fi
    };
    for (i : 0 .. INDICES - 1) {
      if
      :: lease[i] == p + 1 -> lease[i] = 0
      :: else
      fi
    };
    i = 0
  }
}

/* Kills at any moment, or never. Producers are alike, so it is enough that one of them dies. */
proctype Kernel() {
  byte i;
  do
  :: kills > 0 -> kill_producer(0)
  :: break
  od
}

/* When nothing moves any more. */
proctype Observer() {
  byte p, r, s;
  timeout;
  d_step {
    for (p : 0 .. PRODUCERS - 1) {
      /* I6, P5: nobody waits for space or an entry for ever. */
      assert(!is_waiting[p]);
      /* P2: what returned is delivered. */
      for (r : 1 .. returned[p]) {
        assert(delivered[p * ROWS + r])
      }
    };
    for (s : 0 .. SLOTS - 1) {
      /* Every slot comes back, but for one that a living producer keeps. */
      assert(line_state[s] == FREE || (writer[s] != 0 && kept[writer[s] - 1] == s + 1))
    };
    for (s : 0 .. INDICES - 1) {
      /* And so does every entry. */
      assert(!(entry[s] & 1) || lease[s] != 0)
    }
  }
}

init {
  byte p;
  atomic {
    for (p : 0 .. PRODUCERS - 1) { run Producer(p) };
    run Collector();
    run Kernel();
    run Observer()
  }
}
