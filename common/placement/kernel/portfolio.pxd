# C types for portfolio.py: declarations alone, no behaviour.
cimport cython
from common.placement.kernel.choosing cimport Choice
from common.placement.kernel.cuts cimport Cuts
from common.placement.kernel.decoder cimport Decoder
from common.placement.kernel.graph cimport Room
from common.placement.kernel.greedy cimport Greedy
from common.placement.kernel.roaming cimport Roaming
from common.placement.kernel.search cimport Search


@cython.final
cdef class Portfolio:
    cdef public Decoder d
    cdef public Search s
    cdef public Cuts cuts
    cdef public Greedy greedy
    cdef public Roaming roaming
    cdef public Choice choice
    cdef public int[::1] home_order, home_node, last_order, last_node, orders, nodes
    cdef public double[::1] costs
    cdef public Py_ssize_t room, size
    cdef Py_ssize_t most, passes
    cdef long long looked
    cdef double[::1] pass_share, pass_cost

    @cython.locals(d=Decoder, given=Room, i=Py_ssize_t)
    cdef void _make_room(self) except *
    @cython.locals(d=Decoder, x=Py_ssize_t)
    cdef void go_home(self) noexcept
    @cython.locals(x=Py_ssize_t)
    cpdef void try_home(self) noexcept
    @cython.locals(j=Py_ssize_t)
    cpdef void try_cuts(self, double share) noexcept
    @cython.locals(g=Greedy, j=Py_ssize_t)
    cpdef void try_list(self, long long mask, double price, double ahead) noexcept
    @cython.locals(x=Py_ssize_t)
    cdef void remember(self) noexcept
    @cython.locals(s=Search, d=Decoder, x=Py_ssize_t, _=Py_ssize_t)
    cpdef void try_again(self, double share, Py_ssize_t times) noexcept
    @cython.locals(x=Py_ssize_t)
    cdef bint passed(self, double share, double cost) noexcept
    @cython.locals(cost=double, place=Py_ssize_t, x=Py_ssize_t)
    cpdef void offer(self) noexcept
    @cython.locals(i=Py_ssize_t)
    cdef void shift(self, Py_ssize_t x, Py_ssize_t y) noexcept
    @cython.locals(i=Py_ssize_t)
    cdef void store(self, Py_ssize_t x, double cost) noexcept
    @cython.locals(apart=Py_ssize_t, i=Py_ssize_t)
    cpdef Py_ssize_t distance(self, Py_ssize_t x, Py_ssize_t y) noexcept
    @cython.locals(i=Py_ssize_t)
    cpdef void take(self, Py_ssize_t x) noexcept
    @cython.locals(s=Search, kept=double)
    cpdef void improve(self, Py_ssize_t x, Py_ssize_t budget, double hot, double cold) noexcept
    @cython.locals(s=Search)
    cpdef void polish(self, Py_ssize_t x, Py_ssize_t budget, Py_ssize_t patience, double hot, double cold) noexcept
