"""Prints the names of the Vulkan adapters, one on a line: `python -m rerun_mp.cli.vulkan`.

A process of its own, because a broken driver may end the process that loads it. The calls and layouts are those of the
Vulkan 1.0 specification.
"""

from __future__ import annotations

import ctypes
import sys

__all__ = ["adapters"]

INSTANCE_CREATE_INFO = 1
"""VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO."""
MAX_ADAPTERS = 16
PROPERTIES_BYTES = 4096
"""More than VkPhysicalDeviceProperties has."""
NAME_OFFSET = 20
"""Offset of the name in VkPhysicalDeviceProperties, behind five numbers of four bytes."""


class _InstanceCreateInfo(ctypes.Structure):
    """VkInstanceCreateInfo."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("flags", ctypes.c_uint32),
        ("application", ctypes.c_void_p),
        ("layers", ctypes.c_uint32),
        ("layer_names", ctypes.c_void_p),
        ("extensions", ctypes.c_uint32),
        ("extension_names", ctypes.c_void_p),
    )


def adapters() -> list[str]:
    """Return the names of the adapters.

    Raises
    ------
    OSError
        If the Vulkan loader is not installed, or no driver makes an instance.
    """
    library = ctypes.CDLL("libvulkan.so.1")
    instance = ctypes.c_void_p()
    wanted = _InstanceCreateInfo(type=INSTANCE_CREATE_INFO)
    status = library.vkCreateInstance(ctypes.byref(wanted), None, ctypes.byref(instance))
    if status != 0:
        raise OSError(f"vkCreateInstance returned {status}")
    count = ctypes.c_uint32(MAX_ADAPTERS)
    devices = (ctypes.c_void_p * MAX_ADAPTERS)()
    library.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), devices)
    found = []
    for device in devices[: count.value]:
        properties = ctypes.create_string_buffer(PROPERTIES_BYTES)
        library.vkGetPhysicalDeviceProperties(ctypes.c_void_p(device), properties)
        found.append(properties.raw[NAME_OFFSET : NAME_OFFSET + 256].split(b"\0", 1)[0].decode(errors="replace"))
    library.vkDestroyInstance(instance, None)
    return found


def main() -> int:
    """Print the names. Returns 1 if there are none."""
    try:
        found = adapters()
    except OSError as error:
        print(error)
        return 1
    print("\n".join(found) or "no driver offers an adapter")
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
