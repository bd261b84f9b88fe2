"""Tests on aarch64: Debian's arm64 user land and kernel in qemu, on a Debian machine of any architecture.

    python -m tests.aarch64                     the tests that `guest.py` names, on a kernel with pages of 4 KiB
    python -m tests.aarch64 --pages 16k         the same with pages of 16 KiB
    python -m tests.aarch64 --clock host        on an idle host: see `machine.CLOCKS`
    python -m tests.aarch64 tests/shm -k claim  pytest's arguments of your choice

`debian.py` downloads Debian's packages for arm64 through apt, in a configuration of its own, and unpacks them.
`image.py` adds this project's requirements as wheels for aarch64, and packs everything into a file system that the
kernel keeps in memory, so the kernel needs no module. `machine.py` starts qemu, which needs no KVM and no privileges.
`guest.py` is the first process of the emulated machine.

What was built lies in `.aarch64/` (3 GB) and is used again until Debian's release or constraints.txt change.

qemu emulates the instructions, the kernel's system calls, membarrier(2) and the page sizes of an arm64 machine. It
does not emulate weak ordering: on an x86-64 host, the stores of an emulated processor become visible in program order.
The models in `tests/protocol` check the order; these tests check that the code runs and loses no row.
"""
