# C types for choosing.py: declarations alone, no behaviour.
cimport cython
from common.placement.kernel.decoder cimport Decoder


@cython.final
cdef class Choice:
    cdef public Decoder d
    cdef public double enough, haste

    @cython.locals(
        d=Decoder, ready=double, k=Py_ssize_t, made=double, a=Py_ssize_t, c=Py_ssize_t, length=double,
    )
    cdef double arrival(self, Py_ssize_t i, Py_ssize_t j) noexcept
    @cython.locals(d=Decoder, ready=double, length=double, earliest=double, r=Py_ssize_t)
    cdef double begin(self, Py_ssize_t i, Py_ssize_t j) noexcept
    @cython.locals(
        d=Decoder, longest=double, y=Py_ssize_t, k=Py_ssize_t, t=Py_ssize_t, b=Py_ssize_t, later=double,
        c=Py_ssize_t,
    )
    cdef double rest(self, Py_ssize_t i, Py_ssize_t j) noexcept
    @cython.locals(
        d=Decoder, own=Py_ssize_t, best=Py_ssize_t, least=double, made=double, k=Py_ssize_t, j=Py_ssize_t, cost=double,
        length=double, rest=double, score=double,
    )
    cdef Py_ssize_t best(self, Py_ssize_t i) noexcept
    @cython.locals(d=Decoder, late=double)
    cdef double score(self, double cost, double end) noexcept
    @cython.locals(d=Decoder, p=Py_ssize_t, i=Py_ssize_t)
    cpdef void go_through(self) noexcept
