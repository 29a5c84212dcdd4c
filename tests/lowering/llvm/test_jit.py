"""Linked code: what it may call, that it goes with its memory, and that threads do not meet."""

import ctypes
import gc
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import pytest

import symgraph as sg
from symgraph.lowering.llvm.jit import assembly, load, module_text, object_code
from symgraph.lowering.llvm.target import host


def adding(number):
    """A module with a function that adds a number."""
    body = f"define i64 @add(i64 %x) #0 {{\n  %y = add i64 %x, {number}\n  ret i64 %y\n}}"
    return module_text([body], [], host())


def call(loaded, argument):
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(loaded.addresses["add"])(argument)


def test_code_runs_at_the_address_of_its_name():
    assert call(load(object_code(adding(5), host()), ["add"]), 37) == 42
    assert "add:" in assembly(adding(5), host())


@pytest.mark.parametrize("name", ["memcpy", "memmove", "memset"])
def test_code_may_call_what_llvm_itself_writes_calls_to(name):
    source, type_ = ("i8 7", "i8") if name == "memset" else ("ptr %b", "ptr")
    intrinsic = f"llvm.{name}.p0.i64" if name == "memset" else f"llvm.{name}.p0.p0.i64"
    text = module_text(
        [
            f"define void @f(ptr %a, ptr %b, i64 %n) #0 {{\n"
            f"  call void @{intrinsic}(ptr %a, {source}, i64 %n, i1 false)\n  ret void\n}}"
        ],
        [f"declare void @{intrinsic}(ptr, {type_}, i64, i1)"],
        host(),
    )
    a, b = ctypes.create_string_buffer(1000), ctypes.create_string_buffer(b"\7" * 1000, 1000)
    loaded = load(object_code(text, host()), ["f"])
    f = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(loaded.addresses["f"])
    f(a, b, 999)
    assert a.raw == b"\7" * 999 + b"\0"


def test_code_for_old_processors_calls_the_c_library():
    narrow = attrs.evolve(host(), width=16, features="")
    body = """define float @f(float %x, float %y) #0 {
  %z = frem float %x, %y
  %n = call float @llvm.floor.f32(float %z)
  ret float %n
}"""
    text = module_text([body], ["declare float @llvm.floor.f32(float)"], narrow)
    loaded = load(object_code(text, narrow), ["f"])
    f = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_float, ctypes.c_float)(loaded.addresses["f"])
    assert f(17.75, 5.0) == 2.0
    assert f(-17.75, 5.0) == -3.0


def test_refused_code_is_a_compile_error():
    with pytest.raises(sg.CompileError, match="LLVM refused the generated code"):
        object_code("define i64 @f() { ret i32 0 }", host())


def test_a_missing_symbol_is_a_compile_error(capfd):
    body = (
        "define void @f() {\n  call void @no_such_function()\n  ret void\n}\ndeclare void @no_such_function()"
    )
    code = object_code(module_text([body], [], host()), host())
    with pytest.raises(sg.CompileError, match="LLVM could not link"):
        load(code, ["f"])
    assert "no_such_function" in capfd.readouterr().err
    with pytest.raises(sg.CompileError, match="LLVM could not link"):
        load(object_code(adding(1), host()), ["subtract"])


@pytest.mark.parametrize(
    "damage", [lambda code: b"", lambda code: b"x" + code, lambda code: code[: len(code) // 2]]
)
def test_what_is_no_object_is_a_compile_error(damage):
    with pytest.raises(sg.CompileError, match="LLVM could not link"):
        load(damage(object_code(adding(1), host())), ["add"])


def resident():
    """The memory of this process, in KB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the memory of a process on Linux")
def test_500_programs_made_and_dropped_leave_nothing():
    def work(numbers):
        for number in numbers:
            assert call(load(object_code(adding(number), host()), ["add"]), 1) == number + 1

    work(range(100))  # what is made once is made
    gc.collect()
    before = resident()
    work(range(100, 600))
    gc.collect()
    # Each would leave 9 KB, were its linker kept, and 500 make 4,500.
    assert resident() - before < 1500


def test_linked_code_outlives_its_linker():
    kept = [load(object_code(adding(number), host()), ["add"]) for number in range(3)]
    for number in range(100):
        load(object_code(adding(number), host()), ["add"])
    gc.collect()
    assert [call(one, 0) for one in kept] == [0, 1, 2]


def test_threads_compile_load_call_and_drop_at_once():
    def work(thread):
        for turn in range(25):
            number = 1000 * thread + turn
            loaded = load(object_code(adding(number), host()), ["add"])
            gone = weakref.ref(loaded)
            assert call(loaded, 1) == number + 1
            del loaded
            assert gone() is None
        return thread

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(8))) == list(range(8))
