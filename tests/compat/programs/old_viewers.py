"""A user's program: old functions serve viewers and connect to them."""

from __future__ import annotations

import urllib.request
import warnings
from pathlib import Path
from typing import Any

import rerun_mp
from tests.harness.programs import wait_until
from tests.harness.servers import follower
from tests.harness.viewers import free_port

rr: Any = rerun_mp  # the type checker does not know the old names

warnings.simplefilter("ignore")
rr.init("old", send_properties=False)
rr.log("before", rr.Scalars(1.0))
web, port = free_port(), free_port()
rr.serve(open_browser=False, web_port=web, ws_port=port)
with urllib.request.urlopen(f"http://127.0.0.1:{web}") as page:
    assert page.status == 200
served = Path("served.rrd").absolute()
with follower(f"rerun+http://127.0.0.1:{port}/proxy", served) as rows:
    wait_until(lambda: rows() == {"before": 1}, timeout_secs=30.0, what="the served row")
served.unlink()
rr.connect(f"127.0.0.1:{port}")
(sink,) = rr.get_data_recording().state.sinks
assert (sink.kind, sink.target) == ("grpc", f"rerun+http://127.0.0.1:{port}/proxy")
