/* Memory order: one slot, its words and its payload behind store buffers.
 *
 * Every process has a buffer of stores that have left its program and not reached memory. By default they reach it in
 * order, as on x86-64 (TSO). With WEAK, stores to different words reach it in any order, and the collector's loads may
 * be answered early, as on aarch64. A system call that gives a lock back (closing the claim's descriptor) empties the
 * buffer of its caller. Processes die only with an empty buffer: the kernel sees to that before it gives locks back, so
 * that death is slot.pml's.
 *
 * -D switches:
 *   WEAK            stores in any order, loads early where no fence forbids it
 *   The way of `ordering.FENCES`:
 *   FENCE_COMMIT    a fence between what a row consists of and the count
 *   FENCE_SEAL      one between the count and SEALED
 *   FENCE_FREE      one between the cleared line and FREE
 *   FENCE_LOAD_COUNT   the collector's, between its loads of a state and of the count
 *   FENCE_LOAD_ROWS    the collector's, between its loads of a count and of what lies below it
 *   The way of `ordering.BARRIERS`, where producers have no fence:
 *   BARRIER_ROWS    the collector has the kernel run a barrier in every process, between a count and the rows below it
 *   BARRIER_COUNT   the same between a state and the count, before it frees
 *   BARRIER_FREE    the same between the cleared line and FREE
 */

#define PRODUCERS 2
#ifndef ROWS
#define ROWS 2
#endif
#define COLLECTOR PRODUCERS

/* Words of the slot */
#define STATE 0
#define KIND 1
#define COUNT 2
#define CELL 3
#define WORDS 4

#define FREE 0
#define OPEN 1
#define SEALED 2

byte memory[WORDS];
chan buffer[PRODUCERS + 1] = [6] of { byte, byte };
bool is_locked;                            /* the slot's byte, the kernel's */

bool returned[PRODUCERS * ROWS + 1];
bool delivered[PRODUCERS * ROWS + 1];
byte finished;

#define STORE(word, value) buffer[me] ! word, value
#define FENCE empty(buffer[me])

/* Ring.order_loads with membarrier(2): the caller passes a full barrier, then each other process at some moment. */
inline barrier() {
  FENCE;
  empty(buffer[0]);
  empty(buffer[1])
}

/* A store reaches memory. */
proctype Buffer(byte whose) {
  byte word, value;
end:
  do
#ifdef WEAK
  :: atomic { buffer[whose] ?? STATE, value -> memory[STATE] = value; value = 0 }
  :: atomic { buffer[whose] ?? KIND, value -> memory[KIND] = value; value = 0 }
  :: atomic { buffer[whose] ?? COUNT, value -> memory[COUNT] = value; value = 0 }
  :: atomic { buffer[whose] ?? CELL, value -> memory[CELL] = value; value = 0 }
#else
  :: atomic { buffer[whose] ? word, value -> memory[word] = value; word = 0; value = 0 }
#endif
  od
}

proctype Producer(byte me) {
  byte row = 1;
  do
  :: row <= ROWS ->
    /* SlotWriter.claim, under the slot's lock */
    d_step { memory[STATE] == FREE && !is_locked -> is_locked = true };
    if
    :: memory[STATE] == FREE
    :: else -> assert(false)                           /* under the lock nobody else leaves FREE */
    fi;
    STORE(KIND, me * ROWS + row);
    STORE(STATE, OPEN);
    atomic { FENCE -> is_locked = false };             /* the claim closes its descriptor */
    STORE(CELL, me * ROWS + row);                      /* SlotWriter.scatter, or a column of a table */
#ifdef FENCE_COMMIT
    FENCE;
#endif
    atomic { STORE(COUNT, 1); returned[me * ROWS + row] = true };   /* SlotWriter.commit */
#ifdef FENCE_SEAL
    FENCE;
#endif
    STORE(STATE, SEALED);                              /* SlotWriter.seal */
    row++
  :: else -> break
  od;
  finished++
}

inline load_state(into) {
  /* What it has stored itself it sees at once. */
  if
  :: atomic { buffer[me] ?? [STATE, FREE] -> into = FREE }
  :: atomic { !(buffer[me] ?? [STATE, FREE]) -> into = memory[STATE] }
  fi
}

inline load_count(into) {
  if
  :: atomic { buffer[me] ?? [COUNT, 0] -> into = 0 }
  :: atomic { !(buffer[me] ?? [COUNT, 0]) -> into = memory[COUNT] }
  fi
}

proctype Collector(byte me) {
  byte state, count, kind, payload, taken;
  bool has_count, has_row;
end:
  do
  :: d_step { has_count = false; has_row = false; state = 0; count = 0; kind = 0; payload = 0 };
#if defined(WEAK) && !defined(FENCE_LOAD_ROWS) && !defined(BARRIER_ROWS)
    if
    :: d_step { has_row = true; kind = memory[KIND]; payload = memory[CELL] }
    :: true
    fi;
#endif
#if defined(WEAK) && !defined(FENCE_LOAD_COUNT)
    if
    :: load_count(count); has_count = true
    :: true
    fi;
#endif
    /* Sweeper._take: state, then count, then the rows below it */
    atomic { memory[STATE] != FREE && empty(buffer[me]) -> state = memory[STATE] };
    if
    :: !has_count -> load_count(count)
    :: else
    fi;
#ifdef BARRIER_ROWS
    barrier();
#endif
    if
    :: count > taken ->
      if
      :: !has_row -> kind = memory[KIND]; payload = memory[CELL]
      :: else
      fi;
      d_step {
        /* A row once, whole, and as its owner wrote it. */
        assert(payload != 0 && kind == payload && !delivered[payload]);
        delivered[payload] = true;
        taken = count
      }
    :: else
    fi;
    /* SlotFreer.free_done: state, then count */
    d_step { has_count = false; count = 0 };
#if defined(WEAK) && !defined(FENCE_LOAD_COUNT) && !defined(BARRIER_COUNT)
    if
    :: load_count(count); has_count = true
    :: true
    fi;
#endif
    load_state(state);
#ifdef BARRIER_COUNT
    barrier();
#endif
    if
    :: !has_count -> load_count(count)
    :: else
    fi;
    if
    :: state == SEALED && taken >= count ->
      /* Ring.free */
      STORE(COUNT, 0);
      taken = 0;
#ifdef FENCE_FREE
      FENCE;
#endif
#ifdef BARRIER_FREE
      barrier();
#endif
      STORE(STATE, FREE)
    :: else
    fi
  od
}

/* When nothing moves any more. */
proctype Observer() {
  byte r;
  timeout;
  d_step {
    assert(finished == PRODUCERS && memory[STATE] == FREE);
    for (r : 1 .. PRODUCERS * ROWS) {
      assert(returned[r] && delivered[r])
    }
  }
}

init {
  atomic {
    run Producer(0); run Producer(1); run Collector(COLLECTOR);
    run Buffer(0); run Buffer(1); run Buffer(COLLECTOR);
    run Observer()
  }
}
