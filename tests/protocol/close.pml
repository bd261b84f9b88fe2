/* Closing a table while its owner's thread appends, on an interpreter without a global lock.
 *
 * The owner sets the table's mark, looks at the fork guard, stores the row and its count, and clears the mark. Another
 * thread clears the guard, runs a barrier in the process, waits until no mark is set, and releases the lease: from then
 * on the slot may be another producer's. Both threads have store buffers, so that without the barrier each may see the
 * other's old value. With the global lock, `OpenTable.invalidate` releases the views, which tests/producer checks on the
 * code itself. `Producer.close` calls the closer; a call that finds the mark asks `TableSlots.append`.
 *
 * -D switches:
 *   ROWS            appends of the owner
 *   WEAK            stores reach memory in any order, as on aarch64; by default in program order, as on x86-64
 *   NO_BARRIER      TableSlots.stop_other_threads without its barrier
 *   LOOK_FIRST      the append looks at the guard before it sets the mark
 *   NO_WAIT         the closer releases the lease without a look at the mark
 */

#ifndef ROWS
#define ROWS 3
#endif

#define MARK 0
#define GUARD 1
#define SLOT 2
#define WORDS 3

#define OWNER 0
#define CLOSER 1

byte memory[WORDS];
chan buffer[2] = [8] of { byte, byte };
bool is_released;
bool is_over;

#define STORE(word, value) buffer[me] ! word, value
#define BARRIER empty(buffer[CLOSER]); empty(buffer[OWNER])

proctype Buffer(byte whose) {
  byte word, value;
end:
  do
#ifdef WEAK
  :: atomic { buffer[whose] ?? MARK, value -> memory[MARK] = value; value = 0 }
  :: atomic { buffer[whose] ?? GUARD, value -> memory[GUARD] = value; value = 0 }
  :: atomic { buffer[whose] ?? SLOT, value -> assert(!is_released); memory[SLOT] = value; value = 0 }
#else
  :: atomic {
       buffer[whose] ? word, value ->
       assert(word != SLOT || !is_released);         /* the slot may be another producer's */
       memory[word] = value; word = 0; value = 0
     }
#endif
  od
}

proctype Owner(byte me) {
  byte row;
  bool may_store;
  do
  :: row < ROWS ->
    /* factory: the append of hot_appends */
#ifdef LOOK_FIRST
    may_store = memory[GUARD];
    STORE(MARK, 1);
#else
    STORE(MARK, 1);
    may_store = memory[GUARD];
#endif
    if
    :: may_store -> STORE(SLOT, 1)
    :: else
    fi;
#ifdef WEAK
    empty(buffer[me]);                               /* a list item is stored with release order */
#endif
    STORE(MARK, 0);
    row++
  :: else -> break
  od
}

proctype Closer(byte me) {
  /* TableSlots.stop_other_threads */
  STORE(GUARD, 0);
#ifndef NO_BARRIER
  BARRIER;                                           /* kernel.barrier_for_own_threads */
#endif
#ifndef NO_WAIT
  memory[MARK] == 0;                                 /* OpenTable.is_marked */
#endif
  is_released = true;                                /* Registration.release */
  is_over = true
}

proctype Observer() {
  timeout;
  assert(is_over)
}

init {
  atomic {
    memory[GUARD] = 1;
    run Owner(OWNER); run Closer(CLOSER); run Buffer(OWNER); run Buffer(CLOSER); run Observer()
  }
}
