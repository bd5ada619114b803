# C types for greedy.py: declarations alone, no behaviour.
cimport cython
from common.placement.kernel.decoder cimport Decoder
from common.placement.kernel.graph cimport Room


@cython.final
cdef class Greedy:
    cdef public Decoder d
    cdef public int[::1] usable, only
    cdef public double[::1] time_ahead, cost_ahead
    cdef double[::1] time_with, cost_with
    cdef public double finish_weight, ahead_weight, price_weight

    @cython.locals(d=Decoder, given=Room, j=Py_ssize_t)
    cdef void _make_room(self) except *
    @cython.locals(d=Decoder)
    cdef bint may(self, Py_ssize_t i, Py_ssize_t j) noexcept
    @cython.locals(d=Decoder, p=Py_ssize_t, i=Py_ssize_t, j=Py_ssize_t)
    cpdef void look_ahead(self) noexcept
    @cython.locals(d=Decoder, i=Py_ssize_t, j=Py_ssize_t)
    cdef void find_forced(self) noexcept
    @cython.locals(
        d=Decoder, longest=double, spent=double, y=Py_ssize_t, k=Py_ssize_t, s=Py_ssize_t, shortest=double,
        cheapest=double, b=Py_ssize_t, time=double, cost=double, c=Py_ssize_t,
    )
    cdef void look_from(self, Py_ssize_t i, Py_ssize_t j) noexcept
    @cython.locals(d=Decoder, x=Py_ssize_t, sharers=Py_ssize_t)
    cdef void add_own(self, Py_ssize_t i, Py_ssize_t j) noexcept
    @cython.locals(
        d=Decoder, p=Py_ssize_t, i=Py_ssize_t, logged=Py_ssize_t, best=Py_ssize_t, least=double, made=double,
        j=Py_ssize_t, cost=double, score=double,
    )
    cpdef void assign(self) noexcept
    @cython.locals(d=Decoder, made=double, k=Py_ssize_t)
    cdef double made(self, Py_ssize_t i) noexcept
    @cython.locals(d=Decoder, cost=double, k=Py_ssize_t)
    cdef double cost(self, Py_ssize_t i, Py_ssize_t j) noexcept
    @cython.locals(time=double)
    cdef double score(self, Py_ssize_t i, Py_ssize_t j, double cost, double finish) noexcept
