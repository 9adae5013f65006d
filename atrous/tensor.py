"""Tensor: storage, shape, layout, views, grad. No arithmetic: `ops` adds that.

The values are in `_array`, a NumPy view of the storage's memory; bfloat16 is held as
uint16. Code below `ops` makes tensors with `Tensor._of(array)`, which takes the array
over: it must be fresh memory, never a view of another tensor's (that is `_view`).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from . import dtypes
from .autograd import engine, graph
from .autograd.modes import enable_grad, modes
from .device import channels_last, channels_last_3d, contiguous_format, cpu, strided
from .dtypes import dtype as DType
from .storage import Storage, Writes, address, contiguous_strides

if TYPE_CHECKING:
    from .deferred import Pending


class Size(tuple):
    """A shape: a tuple that prints as `torch.Size([2, 3])`."""

    __slots__ = ()

    def numel(self) -> int:
        """How many elements."""
        count = 1
        for size in self:
            count *= size
        return count

    def __repr__(self) -> str:
        return f"torch.Size([{', '.join(map(str, self))}])"

    def __add__(self, other):
        return Size(tuple.__add__(self, tuple(other)))

    def __mul__(self, times):
        return Size(tuple.__mul__(self, times))

    __rmul__ = __mul__

    def __getitem__(self, index):
        got = tuple.__getitem__(self, index)
        return Size(got) if isinstance(index, slice) else got

    def __reduce__(self):
        return Size, (tuple(self),)


def from_front(dim: int, rank: int) -> int:
    """Axis `dim` counted from the front; IndexError if this rank has no such axis.

    A tensor without axes takes 0 and -1, as torch's does.
    """
    count = max(rank, 1)
    if not -count <= dim < count:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-count},"
            f" {count - 1}], but got {dim})"
        )
    return dim % count


class _Storage:
    """`tensor._storage` where nothing has asked for it yet: made then, and from then on
    found in the tensor itself. Most tensors die without one."""

    def __get__(self, tensor: Tensor | None, kind: type) -> Storage:
        if tensor is None:
            raise AttributeError("_storage")
        return tensor.__dict__.setdefault("_storage", Storage(tensor._array, False))


class Tensor:
    """A multi-dimensional array with a gradient; as torch.Tensor.

    `Tensor(2, 3)` is uninitialised, `Tensor([1, 2])` has the default dtype; prefer
    `atrous.tensor`, `atrous.empty`.
    """

    _array: np.ndarray
    _storage: Any = _Storage()
    dtype: DType
    _pending: Pending | None = None  # what the array will be: see deferred
    _rewritten = 0  # how often pending work gave way to other pending work
    _requires = False
    _grad: Tensor | None = None
    _node: graph.Node | None = None
    _index = 0
    _base: Tensor | None = None  # the tensor that this one is a view of
    _replay: Callable | None = None  # base -> this view
    _counter: Writes | None = None  # of writes through `.data`, which go unnoticed
    _history = 0  # how often writes through views changed this base's graph
    _seen = 0  # the base's _history when this view's node was made
    _accumulator: weakref.ref | None = None
    _after_accumulation: dict | None = None
    _inference = False

    __array_priority__ = 1000  # NumPy leaves `array + tensor` to the tensor

    def __new__(cls, *args, dtype=None, device=None):
        tensor = object.__new__(cls)
        tensor._take(_legacy(args, dtype or dtypes.get_default_dtype()), dtype)
        return tensor

    if not TYPE_CHECKING:

        def __getattr__(self, name: str):
            """Called for what is not there: an array whose work is pending."""
            if name == "_array" and self._pending is not None:
                self._settle()
                return self._array
            kind = type(self).__name__
            raise AttributeError(f"{kind!r} object has no attribute {name!r}")

    if TYPE_CHECKING:
        # `methods` installs the operations; the type checker takes any name for one.
        def __getattr__(self, name: str) -> Any: ...
        def __getitem__(self, index: Any) -> Any: ...
        def __setitem__(self, index: Any, value: Any) -> None: ...
        def __iter__(self) -> Any: ...

        __add__: Any
        __radd__: Any
        __sub__: Any
        __rsub__: Any
        __mul__: Any
        __rmul__: Any
        __truediv__: Any
        __rtruediv__: Any
        __floordiv__: Any
        __mod__: Any
        __pow__: Any
        __rpow__: Any
        __matmul__: Any
        __and__: Any
        __or__: Any
        __xor__: Any
        __neg__: Any
        __pos__: Any
        __abs__: Any
        __invert__: Any
        __lt__: Any
        __le__: Any
        __gt__: Any
        __ge__: Any
        __eq__: Any
        __ne__: Any

    # Making

    @classmethod
    def _of(cls, array: np.ndarray, dtype: DType | None = None) -> Tensor:
        """A tensor that owns `array`, fresh memory in any dense physical order."""
        tensor = object.__new__(cls)
        if array.flags.c_contiguous and dtype is not None and not modes.inference:
            tensor._array, tensor.dtype = array, dtype  # as most are, and soonest
        else:
            tensor._take(array, dtype)
        return tensor

    def _take(self, array: np.ndarray, dtype: DType | None = None) -> None:
        self._array = array
        self.dtype = dtypes.BY_STORAGE[array.dtype] if dtype is None else dtype
        if not array.flags.c_contiguous:
            self._storage = Storage(array, True)
            self._storage.followers.append(weakref.ref(self))
        if modes.inference:
            self._inference = True

    @classmethod
    def _later(cls, work: Pending) -> Tensor:
        """A tensor whose values are computed when they are asked for."""
        tensor = object.__new__(cls)
        tensor._pending = work
        tensor.dtype = work.kind
        if modes.inference:
            tensor._inference = True
        return tensor

    def _settle(self) -> None:
        """Have the array of the work that is pending, and its storage."""
        work = self._pending
        assert work is not None
        work.settle()
        assert work.array is not None and work.storage is not None
        self._array, self._storage = work.array, work.storage
        self._pending = None
        if self._storage.followers is not None:
            self._storage.followers.append(weakref.ref(self))

    @property
    def _form(self) -> np.ndarray | Pending:
        """What has the shape, ndim and size: the array, or what it will be."""
        work = self._pending
        return self._array if work is None else work

    @classmethod
    def _sharing(cls, array: np.ndarray, dtype: DType | None = None) -> Tensor:
        """A tensor over memory that others hold, in their strides (from_numpy)."""
        tensor = object.__new__(cls)
        tensor._array = array
        tensor._storage = Storage(array, False)
        tensor._storage.exported = True
        tensor.dtype = dtypes.from_numpy(array.dtype) if dtype is None else dtype
        return tensor

    def _alias(self) -> Tensor:
        """The same memory and version counter, no history."""
        if self._pending is not None:
            self._pending.shared = True
            return Tensor._later(self._pending)
        return self._over(self._array)

    def _over(self, array: np.ndarray, dtype: DType | None = None) -> Tensor:
        tensor = object.__new__(Tensor)
        tensor._array = array
        storage = tensor._storage = self._storage
        tensor.dtype = dtype or self.dtype
        if storage.followers is not None:
            storage.followers.append(weakref.ref(tensor))
        if self._counter is not None:
            tensor._counter = self._counter
        if modes.inference:
            tensor._inference = True
        return tensor

    def _view(self, array: np.ndarray, replay) -> Tensor:
        """A view: `array` lies in this memory; `replay` makes it from a base."""
        view = self._over(array)
        if self._base is None:
            view._base, view._replay = self, replay
        else:
            first = self._replay
            assert first is not None
            view._base, view._replay = self._base, lambda base: replay(first(base))
        view._seen = view._base._history
        return view

    # Shape and layout

    @property
    def shape(self) -> Size:
        return Size(self._form.shape)

    def size(self, dim: int | None = None):
        """The shape, or one entry of it."""
        shape = self._form.shape
        return Size(shape) if dim is None else shape[self._axis(dim)]

    def _axis(self, dim: int) -> int:
        """`dim` counted from the front; IndexError if there is no such axis."""
        return from_front(dim, self._form.ndim)

    @property
    def ndim(self) -> int:
        return self._form.ndim

    def dim(self) -> int:
        """How many axes."""
        return self._form.ndim

    ndimension = dim

    def numel(self) -> int:
        """How many elements."""
        return self._form.size

    nelement = numel

    def __len__(self) -> int:
        if self._array.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self._array.shape[0]

    def stride(self, dim: int | None = None):
        """Steps between elements along each axis, in elements of the logical order."""
        if not self._array.size:
            steps = contiguous_strides(self._array.shape)
        else:
            steps = self._storage.strides(self._array)
        return steps if dim is None else steps[self._axis(dim)]

    def storage_offset(self) -> int:
        """Elements of the storage before the first one of this tensor."""
        return self._storage.offset(self._array)

    def data_ptr(self) -> int:
        """The address of the first element; 0 if there is none."""
        self._storage.export()
        return address(self._array) if self._array.size else 0

    def is_contiguous(self, memory_format=contiguous_format) -> bool:
        """Do the elements follow one another in the order of `memory_format`?"""
        rank = self._array.ndim
        order = tuple(range(rank))
        if memory_format in (channels_last, channels_last_3d):
            if rank != (4 if memory_format is channels_last else 5):
                return False
            order = (0, *range(2, rank), 1)
        shape, steps = self._array.shape, self.stride()
        unit = 1
        for axis in reversed(order):
            if shape[axis] != 1:
                if steps[axis] != unit:
                    return not self._array.size
                unit *= shape[axis]
        return True

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    def element_size(self) -> int:
        """Bytes an element takes."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self._array.nbytes

    device = cpu
    layout = strided
    is_cuda = is_sparse = is_quantized = is_meta = is_mps = is_nested = False
    is_cpu = True

    def get_device(self) -> int:
        return -1

    def is_floating_point(self) -> bool:
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        return False

    def is_signed(self) -> bool:
        return self.dtype.is_signed

    def is_inference(self) -> bool:
        return self._inference

    def type_name(self) -> str:
        """`torch.FloatTensor`: the old name of the type."""
        return f"torch.{self.dtype.alias}Tensor"

    # Values

    def _values(self) -> np.ndarray:
        """The values as NumPy can compute with them: bfloat16 widened to float32."""
        return (
            dtypes.widen(self._array) if self.dtype is dtypes.bfloat16 else self._array
        )

    def item(self):
        """The value of a tensor of one element, as a Python number."""
        if self._array.size != 1:
            raise RuntimeError(
                f"a Tensor with {self._array.size} elements cannot be converted to"
                " Scalar"
            )
        return self._values().item()

    def tolist(self):
        """Nested lists of Python numbers."""
        return self._values().tolist()

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """The values as an ndarray that shares this tensor's memory."""
        if force:
            return self.detach()._values()
        if self.requires_grad:
            raise RuntimeError(
                "Can't call numpy() on Tensor that requires grad. Use"
                " tensor.detach().numpy() instead."
            )
        if self.dtype is dtypes.bfloat16:
            raise TypeError("Got unsupported ScalarType BFloat16")
        self._storage.export()
        return self._array

    def __array__(self, dtype=None, copy=None):
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def __dlpack__(self, **options):
        if self.requires_grad:
            raise BufferError(
                "Can't export tensors that require gradient, use tensor.detach()"
            )
        if self.dtype is dtypes.bfloat16:
            raise BufferError("bfloat16 cannot be exported: NumPy has no such type")
        self._storage.export()
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        if self._array.size != 1 or self.dtype.is_floating_point:
            raise TypeError(
                "only integer tensors of a single element can be converted to an index"
            )
        return int(self.item())

    def __bool__(self) -> bool:
        if self._array.size != 1:
            few = "no values" if not self._array.size else "more than one value"
            raise RuntimeError(f"Boolean value of Tensor with {few} is ambiguous")
        return bool(self._values().item())

    def __contains__(self, value) -> bool:
        return bool(
            (self._values() == (value.item() if is_tensor(value) else value)).any()
        )

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self, *, tensor_contents=None) -> str:
        from .formatting import format_tensor

        return format_tensor(self)

    def __format__(self, how: str) -> str:
        if self._array.ndim == 0 and type(self) is Tensor:  # a Parameter shows itself
            return self.item().__format__(how)
        return object.__format__(self, how)

    __str__ = __repr__

    # Gradient

    @property
    def requires_grad(self) -> bool:
        if self._base is not None and self._seen != self._base._history:
            self._renew()
        return self._requires

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Record operations on this leaf from now on; returns it."""
        if self._node is not None and not requires_grad:
            raise RuntimeError(
                "you can only change requires_grad flags of leaf variables. If you want"
                " to use a computed variable in a subgraph that doesn't require"
                " differentiation use var_no_grad = var.detach()."
            )
        if requires_grad and not self.dtype.is_floating_point:
            raise RuntimeError(
                "only Tensors of floating point dtype can require gradients, not"
                f" {self.dtype}"
            )
        if requires_grad and self._inference and not modes.inference:
            raise RuntimeError(
                "Setting requires_grad=True on inference tensor outside InferenceMode"
                " is not allowed."
            )
        self._requires = bool(requires_grad)
        return self

    @property
    def grad_fn(self) -> graph.Node | None:
        """The node that made this tensor; None for a leaf."""
        if self._base is not None and self._seen != self._base._history:
            self._renew()
        return self._node

    @property
    def output_nr(self) -> int:
        return self._index

    @property
    def is_leaf(self) -> bool:
        return self.grad_fn is None

    @property
    def grad(self) -> Tensor | None:
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(
                    "assigned grad expected to be a Tensor or None but got"
                    f" {type(value)}"
                )
            if value._array.shape != self._array.shape:
                raise RuntimeError(
                    "assigned grad has data of a different size: expected"
                    f" {list(self.shape)}, got {list(value.shape)}"
                )
            if value.dtype is not self.dtype:
                raise RuntimeError(
                    f"assigned grad has data of a different type: {value.dtype}, the"
                    f" tensor is {self.dtype}"
                )
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    @property
    def data(self) -> Tensor:
        """The same memory without history; assigning puts other memory under it."""
        alias = self._alias()
        alias._counter = Writes()  # what is written here, backward does not notice
        if not modes.inference:
            alias._inference = self._inference
        return alias

    @data.setter
    def data(self, other: Tensor) -> None:
        if not isinstance(other, Tensor):
            raise TypeError(
                f"Variable data has to be a tensor, but got {type(other).__name__}"
            )
        self._array, self._storage, self.dtype = (
            other._array,
            other._storage,
            other.dtype,
        )
        self._pending = None
        if self._storage.followers is not None:
            self._storage.followers.append(weakref.ref(self))

    def detach(self) -> Tensor:
        """The same memory, cut from the graph."""
        return self._alias()

    def detach_(self) -> Tensor:
        """Cut this tensor from the graph that made it."""
        if self._base is not None:
            raise RuntimeError("Can't detach views in-place. Use detach() instead.")
        self._node, self._index, self._requires = None, 0, False
        return self

    def _attach(self, node: graph.Node, index: int) -> None:
        """Note that output `index` of `node` is this tensor."""
        self._node, self._index, self._requires = node, index, True
        if self._base is not None:
            self._seen = self._base._history

    def _renew(self) -> None:
        """A write changed the base's graph: make this view's node again from there."""
        assert self._base is not None and self._replay is not None
        self._seen = self._base._history
        with enable_grad():
            again = self._replay(self._base)
        if again._requires:
            self._attach(again._node, again._index)

    @property
    def _version(self) -> int:
        if self._pending is not None and self._pending.storage is None:
            return self._rewritten  # nobody can have written to it
        return (self._counter or self._storage).version + self._rewritten

    def _bump(self) -> None:
        """The memory was written to: saved copies of this tensor are out of date."""
        (self._counter or self._storage).version += 1

    def _is_view(self) -> bool:
        return self._base is not None

    def backward(
        self, gradient=None, retain_graph=None, create_graph=False, inputs=None
    ) -> None:
        """Add the gradient of this to every leaf's `grad`; see `autograd.backward`."""
        engine.backward(self, gradient, retain_graph, create_graph, inputs)

    def register_hook(self, hook):
        """`hook(gradient)` once it is known; what it returns replaces it."""
        return engine.register_hook(self, hook)

    def register_post_accumulate_grad_hook(self, hook):
        """`hook(tensor)` after this leaf's `grad` was added to."""
        if not self.is_leaf:
            raise RuntimeError(
                "post accumulate grad hooks cannot be registered on non-leaf tensors"
            )
        if self._after_accumulation is None:
            self._after_accumulation = {}
        return graph.Handle(self._after_accumulation, hook)

    def retain_grad(self) -> None:
        """Keep `grad` for this tensor though it is not a leaf."""
        if not self.requires_grad:
            raise RuntimeError(
                "can't retain_grad on Tensor that has requires_grad=False"
            )
        node = self.grad_fn
        if node is not None:
            node.own("retained")[self._index] = weakref.ref(self)

    @property
    def retains_grad(self) -> bool:
        node = self.grad_fn
        return node is not None and self._index in node.retained

    # Copies and pickles

    def __reduce_ex__(self, protocol):
        if not self.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support"
                " pickling; detach() this one first."
            )
        held = np.asarray(self._array, order="C")
        state = (type(self), held, self.dtype, self._requires, self._extra())
        return _rebuild, state

    def _extra(self) -> dict:
        """What the user hung on the tensor: attributes other than the class's own."""
        return {
            name: value
            for name, value in self.__dict__.items()
            if name != "dtype" and not hasattr(Tensor, name) and name not in _OWN
        }

    def __deepcopy__(self, memo):
        if id(self) in memo:
            return memo[id(self)]
        if not self.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the"
                " deepcopy protocol at the moment. If you were attempting to deepcopy a"
                " module, this may be because of a torch.nn.utils.weight_norm usage."
            )
        from copy import deepcopy

        copied = _rebuild(
            type(self), self._array.copy(), self.dtype, self._requires, {}
        )
        memo[id(self)] = copied
        if self._grad is not None:
            copied._grad = deepcopy(self._grad, memo)
        copied.__dict__.update(deepcopy(self._extra(), memo))
        return copied


_OWN = ("_array", "_storage", "_held_accumulator")


def _rebuild(kind, array, dtype, requires_grad, extra) -> Tensor:
    tensor = object.__new__(kind)
    Tensor._take(tensor, array, dtype)
    tensor._requires = requires_grad
    tensor.__dict__.update(extra)
    return tensor


def _legacy(args: tuple, dtype: DType) -> np.ndarray:
    """The array of `Tensor(...)`: sizes, or one sequence of values."""
    if len(args) == 1 and isinstance(args[0], Tensor):
        return args[0]._array.copy()
    if len(args) == 1 and isinstance(args[0], Size):
        return np.empty(args[0], dtype.storage)
    if len(args) == 1 and not isinstance(args[0], int):
        return np.array(args[0], dtype.compute).astype(dtype.storage, copy=False)
    return np.empty(args or (0,), dtype.storage)


def is_tensor(value) -> bool:
    """Is it a Tensor?"""
    return isinstance(value, Tensor)


def _zeros(shape, dtype) -> Tensor:
    return Tensor._of(np.zeros(shape, dtype.storage), dtype)


def _ones_like(tensor: Tensor) -> Tensor:
    one = 0x3F80 if tensor.dtype is dtypes.bfloat16 else 1
    return Tensor._of(
        np.full(tensor._array.shape, one, tensor.dtype.storage), tensor.dtype
    )


engine.Make.zeros, engine.Make.ones_like = _zeros, _ones_like
