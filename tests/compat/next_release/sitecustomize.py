"""Lets an interpreter find a release of rerun-sdk that rerun_mp does not know: NEXT_RELEASE says what has changed."""

from __future__ import annotations

import os
from typing import Any

import attrs
import rerun
import rerun.archetypes
import rerun_bindings
from rerun import ComponentDescriptor, DescribedComponentBatch

CHANGES = os.environ.get("NEXT_RELEASE", "").split()


def replace(name: str, changed: Any) -> None:
    """Put a changed archetype in the place of rerun's."""
    setattr(rerun.archetypes, name, changed)
    setattr(rerun, name, changed)


def change_signature() -> None:
    """Rename a parameter of `Points3D`."""

    class Points3D(rerun.archetypes.Points3D):
        """Takes `sizes` for `radii`."""

        def __init__(self, positions: Any, *, sizes: Any = None) -> None:
            super().__init__(positions, radii=sizes)

    replace("Points3D", Points3D)


def add_field() -> None:
    """Give `Scalars` another field."""

    @attrs.define(eq=False, init=False)
    class Scalars(rerun.archetypes.Scalars):
        """Has a field more."""

        quality: Any = attrs.field(default=None)

        def __init__(self, scalars: Any) -> None:
            self.__attrs_init__(scalars=scalars)

    replace("Scalars", Scalars)


def rename_component() -> None:
    """Give the text of `TextLog` another name."""

    class TextLog(rerun.archetypes.TextLog):
        """Calls its text a message."""

        def as_component_batches(self) -> list[Any]:
            """Return rerun's components under other names."""
            made = []
            for batch in super().as_component_batches():
                old = batch.component_descriptor()
                name = old.component.replace(":text", ":message")
                new = ComponentDescriptor(name, archetype=old.archetype, component_type=old.component_type)
                made.append(DescribedComponentBatch(batch, new))
            return made

    replace("TextLog", TextLog)


def change_any_values() -> None:
    """Give the components of `AnyValues` an archetype."""

    class AnyValues(rerun.AnyValues):
        """Is an archetype."""

        def as_component_batches(self) -> list[Any]:
            """Return rerun's components under the name of the archetype."""
            return [
                DescribedComponentBatch(batch, batch.component_descriptor().with_builtin_archetype("AnyValues"))
                for batch in super().as_component_batches()
            ]

    rerun.any_value.AnyValues = rerun.AnyValues = AnyValues  # type: ignore[misc]


def change_dynamic_archetype() -> None:
    """Rename a parameter of `DynamicArchetype`."""

    class DynamicArchetype(rerun.DynamicArchetype):
        """Takes `values` for `components`."""

        def __init__(self, archetype: str, *, values: Any = None) -> None:
            super().__init__(archetype, components=values)

    rerun.dynamic_archetype.DynamicArchetype = rerun.DynamicArchetype = DynamicArchetype  # type: ignore[assignment, misc]


def drop_archetype() -> None:
    """Drop `Capsules3D`."""
    del rerun.archetypes.Capsules3D
    del rerun.Capsules3D


def change_native() -> None:
    """Give the native `save` another parameter, and rename another function."""

    class Changed:
        """A native function of another signature."""

        __text_signature__ = "(path, compression, recording=None)"

        def __call__(self, *_: Any, **__: Any) -> None:
            """Say that this function ran."""
            print("rerun's own")

    rerun_bindings.save = Changed()
    del rerun_bindings.set_thread_local_data_recording


def change_chunks() -> None:
    """Take the collector its way to make chunks."""

    class Chunk:
        """Makes none."""

        @staticmethod
        def from_record_batch(*_: Any) -> list[Any]:
            """Refuse."""
            raise TypeError("a batch is no chunk any more")

    vars(rerun_bindings)["ChunkInternal"] = Chunk


def keep_everything() -> None:
    """Change the version only."""


if CHANGES and CHANGES != ["change_chunks"]:
    rerun.__version__ = "0.42.0"
for change in CHANGES:
    globals()[change]()
