/* Chains: a message over several slots, a head and a part, of which nothing exists before the head's count is 1.
 *
 * Processes: producers, one of which may be killed at any step while the others live on when they have logged; a
 * collector that may die at any step of freeing and starts again with nothing but what is in shared memory. Claiming a
 * slot is one step here: see slot.pml. Every run ends, as there.
 *
 * -D switches, each of which takes one guard away:
 *   PART_FREED_IN_PLACE   a part is freed without being ABANDONED first: a collector that dies after the store of the
 *                         epoch leaves a part that is nobody's (spin found this in the code)
 *   NO_EPOCH_OF_PART      a part is freed whatever its epoch, though it may be another chain's by now
 *   HEAD_FREED_FIRST      the head is freed before its parts
 *   DEAD_PARTS_FREED      the parts of the dead are freed, whether a committed head names them or not
 *   HEAD_BEFORE_PARTS     the head's count is stored before the parts are written
 */

#define PRODUCERS 2
#ifndef MESSAGES
#define MESSAGES 2
#endif
#define SLOTS 3
#ifndef KILLS
#define KILLS 1
#endif
#ifndef CRASHES
#define CRASHES 1
#endif

#define FREE 0
#define OPEN 1
#define SEALED 2
#define ABANDONED 3
#define HEAD 1
#define PART 2
#define NOBODY 255

byte state[SLOTS];             /* the state word: layout.SlotState, and beside it whose it is */
byte owner[SLOTS];
byte kind[SLOTS];
byte epoch[SLOTS];
byte count[SLOTS];
byte taken[SLOTS];
byte cell[SLOTS];              /* payload: the message, from 1 on */
byte part_slot[SLOTS];         /* the preamble of a chain, in the head's slot: encoding.chains.pack_chain */
byte part_epoch[SLOTS];

/* What nobody but the model knows. */
byte returned;                 /* messages whose log() has returned, and which of them are delivered: one bit each */
byte delivered;
bool killed[PRODUCERS];
byte kills = KILLS, crashes = CRASHES;

inline claim(mine, what) {
  /* SlotWriter.claim, one of its slots; which of the free ones does not matter */
  if
  :: d_step { state[0] == FREE -> kind[0] = what; owner[0] = me; state[0] = OPEN; mine = 0 }
  :: d_step { state[0] != FREE && state[1] == FREE -> kind[1] = what; owner[1] = me; state[1] = OPEN; mine = 1 }
  :: d_step { state[0] != FREE && state[1] != FREE && state[2] == FREE -> kind[2] = what; owner[2] = me; state[2] = OPEN; mine = 2 }
  :: else
  fi
}

inline abandon(mine) {
  /* SlotWriter.abandon */
  if
  :: d_step { mine != NOBODY -> assert(state[mine] == OPEN && owner[mine] == me); state[mine] = ABANDONED }
  :: else
  fi
}

proctype Producer(byte me) {
  byte head = NOBODY, part = NOBODY, number;
  {
    do
    :: number < MESSAGES - me ->
      /* Oversize.append */
      claim(head, HEAD);
      claim(part, PART);
      if
      :: head == NOBODY || part == NOBODY -> abandon(head); abandon(part)   /* and waits, or drops the row */
      :: else ->
        /* SlotWriter.scatter: the preamble, the head's bytes, the part's */
        d_step {
          assert(state[head] == OPEN && owner[head] == me);
          part_slot[head] = part; part_epoch[head] = epoch[part];
          cell[head] = 1 + me * MESSAGES + number
        };
#ifdef HEAD_BEFORE_PARTS
        d_step { count[head] = 1; returned = returned | (1 << (me * MESSAGES + number)) };
#endif
        d_step {
          /* I5: the part is this chain's still. */
          assert(state[part] == OPEN && owner[part] == me && epoch[part] == part_epoch[head]);
          cell[part] = 1 + me * MESSAGES + number
        };
#ifndef HEAD_BEFORE_PARTS
        /* SlotWriter.commit */
        d_step { count[head] = 1; returned = returned | (1 << (me * MESSAGES + number)) };
#endif
        d_step { assert(state[head] == OPEN && owner[head] == me); state[head] = SEALED }   /* SlotWriter.seal */
      fi;
      d_step { head = NOBODY; part = NOBODY; number++ }
    :: else -> break
    od;
    skip
  } unless {
    d_step { killed[me] -> head = NOBODY; part = NOBODY; number = 0 }
  }
}

inline take(s) {
  /* Sweeper._take and SlotReader.read_chain: the whole chain in one sweep */
  d_step {
    (state[s] == OPEN || state[s] == SEALED) && count[s] > taken[s] ->
    assert(kind[s] == HEAD);
    /* Wholly there, and once. */
    assert(cell[s] != 0 && cell[part_slot[s]] == cell[s]);
    assert(!(delivered & (1 << (cell[s] - 1))));
    delivered = delivered | (1 << (cell[s] - 1));
    taken[s] = 1
  }
}

inline free(s) {
  /* Ring.free: each store may be the last one before the collector dies */
  d_step { epoch[s] = (epoch[s] + 1) % 8 };
  if
  :: crashes > 0 -> crashes--; goto restart
  :: d_step { count[s] = 0 }
  fi;
  if
  :: crashes > 0 -> crashes--; goto restart
  :: d_step { taken[s] = 0; cell[s] = 0; kind[s] = 0; owner[s] = 0; part_slot[s] = 0; part_epoch[s] = 0; state[s] = FREE }
  fi
}

#ifdef NO_EPOCH_OF_PART
#define IS_SAME(head) true
#else
#define IS_SAME(head) (epoch[part_slot[head]] == part_epoch[head])
#endif

inline free_part(head) {
  /* SlotFreer._free_part */
  if
  :: d_step {
      IS_SAME(head) && state[part_slot[head]] == OPEN && kind[part_slot[head]] == PART -> p = part_slot[head];
#ifndef PART_FREED_IN_PLACE
      state[p] = ABANDONED
#endif
    };
    if
    :: crashes > 0 -> crashes--; goto restart
    :: true
    fi;
    free(p)
  :: else
  fi;
  p = 0
}

inline free_done(s) {
  /* SlotFreer.free_done and SlotFreer._free_with_parts */
  if
  :: atomic { state[s] == ABANDONED || (state[s] == SEALED && taken[s] >= count[s]) -> has_parts = (kind[s] == HEAD && count[s]) };
#ifdef HEAD_FREED_FIRST
    d_step { q = part_slot[s]; e = part_epoch[s] };
    free(s);
    if
    :: d_step { has_parts -> part_slot[s] = q; part_epoch[s] = e }; free_part(s); d_step { part_slot[s] = 0; part_epoch[s] = 0 }
    :: else
    fi;
    d_step { q = 0; e = 0 }
#else
    if
    :: has_parts -> free_part(s)
    :: else
    fi;
    free(s)
#endif
    ;
    has_parts = false
  fi
}

#define NAMES(h, s) (owner[h] == owner[s] && kind[h] == HEAD && state[h] != FREE && count[h] && part_slot[h] == s)
#ifdef DEAD_PARTS_FREED
#define IS_REFERENCED(s) false
#else
#define IS_REFERENCED(s) (NAMES(0, s) || NAMES(1, s) || NAMES(2, s))
#endif

inline seal_dead(s) {
  /* DeadProducers.clear_up and SlotFreer.seal_dead, for one slot */
  if
  :: d_step { state[s] == OPEN && killed[owner[s]] && kind[s] == HEAD -> state[s] = SEALED }
  :: state[s] == OPEN && killed[owner[s]] && kind[s] == PART && !IS_REFERENCED(s) -> free(s)
  fi
}

proctype Collector() {
  byte p, q, e;
  bool has_parts;
restart:
  skip;
  d_step { p = 0; q = 0; e = 0; has_parts = false };
  do
  :: take(0)
  :: take(1)
  :: take(2)
  :: seal_dead(0)
  :: seal_dead(1)
  :: seal_dead(2)
  :: free_done(0)
  :: free_done(1)
  :: free_done(2)
  od
}

/* Kills at any moment, or never. Producers are alike, so it is enough that one of them dies. */
proctype Kernel() {
  if
  :: d_step { kills > 0 -> kills--; killed[0] = true }
  :: true
  fi
}

/* When nothing moves any more. */
proctype Observer() {
  byte s;
  timeout;
  d_step {
    /* P2: what returned is delivered. */
    assert((returned & delivered) == returned);
    for (s : 0 .. SLOTS - 1) {
      /* Every slot comes back. */
      assert(state[s] == FREE)
    }
  }
}

init {
  atomic { run Producer(0); run Producer(1); run Collector(); run Kernel(); run Observer() }
}
