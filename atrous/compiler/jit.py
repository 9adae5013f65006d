"""IR in, machine code out: the only importer of llvmlite.binding.

`assemble` turns IR into object code for any target; `link` loads object code into this
process and gives its address. llvmlite is imported at the first use, never before.
"""

import functools
import os
import threading

from .target import Target

_lock = threading.RLock()
_libraries = 0


@functools.cache
def _llvm():
    """The library, initialised."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


@functools.cache
def _llvm_for_all():
    """The library with every target it was built with, for code that runs elsewhere."""
    llvm = _llvm()
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    return llvm


@functools.cache
def host() -> tuple[str, frozenset[str], str]:
    """Name, features and triple of this processor."""
    llvm = _llvm()
    features = llvm.get_host_cpu_features()
    names = frozenset(name for name, present in features.items() if present)
    return llvm.get_host_cpu_name(), names, llvm.get_process_triple()


@functools.cache
def _machine(target: Target):
    family = target.triple.split("-")[0]
    llvm = _llvm() if host()[2].split("-")[0] == family else _llvm_for_all()
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=3, reloc="pic", codemodel="small"
    )


def _optimised(text: str, target: Target):
    """The module after one pass of LLVM's: values that are computed twice, or again.

    What else the usual passes do for speed the schedules have done themselves: kernels
    are as fast without them, and compile in half the time.
    """
    llvm = _llvm()
    module = llvm.parse_assembly(text, llvm.create_context())
    module.triple = target.triple
    builder = llvm.create_pass_builder(
        _machine(target), llvm.create_pipeline_tuning_options()
    )
    passes = llvm.create_new_module_pass_manager()
    passes.add_new_gvn_pass()
    passes.run(module, builder)
    return module


def assemble(text: str, target: Target) -> bytes:
    """IR text -> object code for `target`, which need not be this machine."""
    with _lock:
        return _machine(target).emit_object(_optimised(text, target))


def assembly(text: str, target: Target) -> str:
    """IR text -> the assembly that `assemble` would encode, for people to read."""
    with _lock:
        return _machine(target).emit_assembly(_optimised(text, target))


@functools.cache
def _engine():
    """The linker. It is never disposed of: worker threads live in its code.

    JITLink lays an object's code and constants out in one piece. The older linker maps
    them apart: with gigabytes of arrays between them, code that reaches ±2 GB aborts.
    """
    engine = _llvm().create_lljit_compiler(use_jit_link=os.name == "posix")
    engine._owned = True
    return engine


def link(code: bytes, *symbols: str) -> list[int]:
    """Object code -> the addresses of `symbols`, valid until the process ends.

    Raises RuntimeError if the code is damaged.
    """
    global _libraries
    with _lock:
        _libraries += 1
        builder = _llvm().JITLibraryBuilder()
        builder.add_object_img(code).add_current_process()
        for symbol in symbols:
            builder.export_symbol(symbol)
        tracker = builder.link(_engine(), f"kernel{_libraries}")
        tracker.detach()
        return [tracker[symbol] for symbol in symbols]


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
