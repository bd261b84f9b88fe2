/* The life of sessions under one name: found or join, log, leave; end, and begin anew.
 *
 * Processes: newcomers, which call init, log a row, wait until it is stored, and leave; one of them may be killed at any
 * step. For each segment a collector, which may be killed at any step, its guard with it or not. The guard starts the
 * worker again; when both are gone, a participant starts them. Segments are numbered in the order in which they were
 * published. Whether somebody is still expected (ending.is_over) is left out: the collector may end a session as soon as
 * it has seen it without participants. Every run ends; `Observer` asserts what must hold then.
 *
 * -D switches, each of which takes one guard away:
 *   NO_INODE_COMPARE        attach does not compare the inode with what the name shows then (hazard 11)
 *   NO_EXCLUSIVE_LOCK       the session is ended after a look at the participants' byte, which is not locked
 *   PROBE_BY_TRYING         the participants' byte is probed by an attempt to lock it (hazard 17)
 *   ENDING_BEFORE_RENAME    the state ENDING is stored before the segment is renamed aside: if guard and worker die in
 *                           between, those who join then may not start another collector (spin found this in the code)
 *   ONE_TRY                 a successor that finds the participants' byte taken, by somebody who has opened the segment
 *                           before it was renamed, gives the end up (spin found this in the code)
 *   RENAME_UNCHECKED        the end renames whatever lies under the name
 */

#define NEWCOMERS 2
#define SEGMENTS 2
#ifndef KILLS
#define KILLS 1
#endif
#ifndef CRASHES
#define CRASHES 2
#endif

/* layout.SessionState */
#define LIVE 0
#define ENDING 1
#define FILES_COMPLETE 2
#define ENDED 3

byte name;                             /* the segment that lies under the session's name; 0: none */
byte published;                        /* segments so far */
bool aside[SEGMENTS + 1];              /* which lie under the name that they end with */
byte session_state[SEGMENTS + 1];
byte logged[SEGMENTS + 1];             /* rows whose log() has returned, and how many of them are in the store */
byte stored[SEGMENTS + 1];

/* The kernel's: the participants' byte, shared or exclusive; the guard's and the worker's. */
byte participates[NEWCOMERS];          /* the segment of which a process holds the byte, 0: none */
bool exclusive[SEGMENTS + 1];
bool guard[SEGMENTS + 1];
bool worker[SEGMENTS + 1];
#define IS_HELD(i) (participates[0] == i || participates[1] == i)

/* What nobody but the model knows. */
bool is_ending[SEGMENTS + 1];          /* the collector holds the byte in order to end the session */
bool is_orphan[SEGMENTS + 1];          /* everybody was killed, the collector too: left to the next init, or to recover */
bool has_left[NEWCOMERS];
bool killed[NEWCOMERS];
byte kills = KILLS, crashes = CRASHES;

#define HAS_COLLECTOR(i) (guard[i] || worker[i])

proctype Newcomer(byte me) {
  byte mine;
  {
    skip;
  again:
    /* founding.found_or_join */
    if
    :: atomic { name != 0 -> mine = name }             /* segment.attach: open */
    :: d_step {
        /* segment.create: linked with its founder's lease. Who loses the race attaches. */
        name == 0 && published < SEGMENTS ->
        published++; name = published; mine = published; participates[me] = published
      };
      goto joined
    fi;
    if
    :: d_step { !exclusive[mine] -> participates[me] = mine }
    :: atomic {
        exclusive[mine] ->
        /* Only a session that ends refuses anybody. */
        assert(is_ending[mine])
      };
      atomic { !exclusive[mine] || name != mine -> mine = 0 };
      goto again
    fi;
#ifndef NO_INODE_COMPARE
    if
    :: name == mine
    :: d_step {
        name != mine -> participates[me] = 0;
        is_orphan[mine] = !HAS_COLLECTOR(mine) && !IS_HELD(mine);
        mine = 0
      };
      goto again
    fi;
#endif
  joined:
    is_orphan[mine] = false;
    /* Producer.append */
    logged[mine]++;
    /* Session.flush, which watches the collector: collector_start.ensure_collector */
    do
    :: stored[mine] == logged[mine] -> break
    :: d_step {
        !HAS_COLLECTOR(mine) && session_state[mine] == LIVE && name == mine && stored[mine] < logged[mine] ->
        guard[mine] = true
      }
    od;
    skip;
    /* leaving.leave */
    d_step {
      participates[me] = 0; has_left[me] = true;
      is_orphan[mine] = !HAS_COLLECTOR(mine) && !IS_HELD(mine);
      mine = 0
    }
  } unless {
    d_step {
      killed[me] ->
      has_left[me] = true;
      if
      :: participates[me] ->
        mine = participates[me]; participates[me] = 0;
        is_orphan[mine] = !HAS_COLLECTOR(mine) && !IS_HELD(mine)
      :: else
      fi;
      mine = 0
    }
  }
}

#define MAY_DIE(i) if :: true :: atomic { crashes > 0 -> crashes--; goto dies } fi

proctype Collector(byte i) {
  bool renamed;
sleeping:
  skip;
  /* guard._run_worker: whenever there is no worker */
  atomic { guard[i] && !worker[i] && session_state[i] != ENDED -> worker[i] = true };
  MAY_DIE(i);
  if
  /* starting.find_segment: under its name, or under the one that it ends with */
  :: name == i
  :: name != i && aside[i] -> goto end_session
  :: name != i && !aside[i] -> goto exits
  fi;
  do
  :: stored[i] < logged[i] -> stored[i] = logged[i]; MAY_DIE(i)   /* sweep.pml */
  :: stored[i] == logged[i] && !IS_HELD(i) ->          /* Worker._is_over */
#ifdef PROBE_BY_TRYING
    if
    :: d_step { !IS_HELD(i) -> exclusive[i] = true }; exclusive[i] = false
    :: IS_HELD(i)
    fi;
#endif
  end_session:
    skip;
    MAY_DIE(i);
    if
#ifdef NO_EXCLUSIVE_LOCK
    :: true ->
#else
    :: d_step { !IS_HELD(i) -> exclusive[i] = true; is_ending[i] = true };
#endif
      MAY_DIE(i);
#ifdef ENDING_BEFORE_RENAME
      session_state[i] = (session_state[i] > ENDING -> session_state[i] : ENDING);
      MAY_DIE(i);
#endif
      if
#ifdef RENAME_UNCHECKED
      :: true ->
#else
      :: name == i ->
#endif
        d_step {
          assert(name == i);
          name = 0; aside[i] = true
        }
      :: aside[i]
      fi;
      MAY_DIE(i);
#ifndef ENDING_BEFORE_RENAME
      session_state[i] = (session_state[i] > ENDING -> session_state[i] : ENDING);
      MAY_DIE(i);
#endif
      stored[i] = logged[i];                           /* ending._drain */
      MAY_DIE(i);
      session_state[i] = FILES_COMPLETE;
      MAY_DIE(i);
      aside[i] = false;
      MAY_DIE(i);
      session_state[i] = ENDED;
      goto exits
#ifndef NO_EXCLUSIVE_LOCK
    :: IS_HELD(i) ->                                   /* somebody has joined, or has come too late to */
      if
#ifdef ONE_TRY
      :: aside[i] -> goto exits
#else
      :: aside[i] && !IS_HELD(i) -> goto end_session
#endif
      :: !aside[i]
      fi
#endif
    fi
  od;
dies:
  skip;
  d_step { exclusive[i] = false; is_ending[i] = false; worker[i] = false };
  if
  :: true
  :: d_step { guard[i] = false; is_orphan[i] = !IS_HELD(i) }
  fi;
  goto sleeping;
exits:
  skip;
  d_step { exclusive[i] = false; is_ending[i] = false; worker[i] = false; guard[i] = false }   /* guard._keep_running: status 0 */
}

/* Kills at any moment, or never. Newcomers are alike, so it is enough that one of them dies. */
proctype Kernel() {
  if
  :: d_step { kills > 0 -> kills--; killed[0] = true }
  :: true
  fi
}

/* When nothing moves any more. */
proctype Observer() {
  byte i;
  timeout;
  d_step {
    /* P5: nobody waits for ever. */
    assert(has_left[0] && has_left[1]);
    for (i : 1 .. SEGMENTS) {
      if
      :: i <= published && !is_orphan[i] ->
        /* P2, P7: what returned is stored, and nothing is left. */
        assert(stored[i] == logged[i]);
        assert(session_state[i] >= FILES_COMPLETE && name != i && !aside[i])
      :: else
      fi
    }
  }
}

init {
  atomic { run Newcomer(0); run Newcomer(1); run Collector(1); run Collector(2); run Kernel(); run Observer() }
}
