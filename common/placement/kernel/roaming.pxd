# C types for roaming.py: declarations alone, no behaviour.
cimport cython
from common.placement.kernel.cuts cimport Cuts
from common.placement.kernel.decoder cimport Decoder
from common.placement.kernel.search cimport Search


@cython.final
cdef class Roaming:
    cdef public Search s
    cdef public Decoder d
    cdef public double[::1] bias, urgency, head, tail
    cdef public int[::1] order, changed, was, saved
    cdef public Py_ssize_t changes, biased
    cdef public double bias_was, saved_spent
    cdef public bint cut
    cdef public Cuts cuts

    @cython.locals(d=Decoder, high=double, x=Py_ssize_t, i=Py_ssize_t, rest=double)
    cpdef void begin(self) noexcept
    @cython.locals(d=Decoder, x=Py_ssize_t, i=Py_ssize_t)
    cdef void hold(self) noexcept
    @cython.locals(d=Decoder, latest=double, k=Py_ssize_t, there=double, a=Py_ssize_t, c=Py_ssize_t)
    cdef double ready(self, Py_ssize_t i, Py_ssize_t j) noexcept
    @cython.locals(
        d=Decoder, longest=double, y=Py_ssize_t, k=Py_ssize_t, t=Py_ssize_t, b=Py_ssize_t, later=double,
        c=Py_ssize_t,
    )
    cdef double rest(self, Py_ssize_t i, Py_ssize_t j) noexcept
    @cython.locals(i=Py_ssize_t, j=Py_ssize_t)
    cdef bint hopeless(self, double latest) noexcept
    @cython.locals(x=Py_ssize_t, share=double, limit=double)
    cpdef void anneal(self, Py_ssize_t budget, double hot, double cold) noexcept
    @cython.locals(s=Search, d=Decoder, i=Py_ssize_t, kind=Py_ssize_t, j=Py_ssize_t)
    cdef void change(self) noexcept
    @cython.locals(s=Search, d=Decoder, cuts=Cuts, late=double, critical=bint, i=Py_ssize_t)
    cdef void cut_out(self) noexcept
    @cython.locals(d=Decoder, out=Py_ssize_t, fan=Py_ssize_t, x=Py_ssize_t)
    cdef Py_ssize_t choose(self, Py_ssize_t i) noexcept
    cdef double scale(self) noexcept
    @cython.locals(d=Decoder)
    cdef void put(self, Py_ssize_t i, Py_ssize_t j) noexcept
    @cython.locals(d=Decoder, out=Py_ssize_t, fan=Py_ssize_t, x=Py_ssize_t)
    cdef void put_next(self, Py_ssize_t i, Py_ssize_t j) noexcept
    @cython.locals(d=Decoder, home=Py_ssize_t, x=Py_ssize_t, y=Py_ssize_t, t=Py_ssize_t, k=Py_ssize_t)
    cdef void put_around(self, Py_ssize_t i, Py_ssize_t j) noexcept
    @cython.locals(s=Search, d=Decoder, latest=double, finish=double, cost=double)
    cdef void look(self, double limit) noexcept
    @cython.locals(s=Search, d=Decoder, i=Py_ssize_t, x=Py_ssize_t)
    cdef void take_back(self) noexcept
    @cython.locals(
        d=Decoder, longest=double, x=Py_ssize_t, i=Py_ssize_t, rest=double, mine=double, y=Py_ssize_t,
    )
    cdef double arrange(self) noexcept
