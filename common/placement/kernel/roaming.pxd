# C types for roaming.py: declarations alone, no behaviour.
cimport cython
from common.placement.kernel.cuts cimport Cuts
from common.placement.kernel.decoder cimport Decoder
from common.placement.kernel.graph cimport Room
from common.placement.kernel.search cimport Search


@cython.final
cdef class Roaming:
    cdef public Search s
    cdef public Decoder d
    cdef public Cuts cuts
    cdef double[::1] bias, urgency, head, tail
    cdef int[::1] order, place, changed, was, saved, dirty
    cdef Py_ssize_t changes, biased, placed
    cdef double bias_was, spent_was, end
    cdef bint cut

    @cython.locals(tasks=Py_ssize_t, given=Room)
    cdef void _make_room(self) except *
    @cython.locals(d=Decoder, high=double, x=Py_ssize_t, i=Py_ssize_t, rest=double)
    cpdef void begin(self) noexcept
    @cython.locals(d=Decoder, x=Py_ssize_t, i=Py_ssize_t)
    cdef void hold(self, Py_ssize_t p) noexcept
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
    @cython.locals(
        s=Search, d=Decoder, latest=double, p=Py_ssize_t, finish=double, cost=double, x=Py_ssize_t,
    )
    cdef void look(self, double limit) noexcept
    @cython.locals(d=Decoder, last=Py_ssize_t, y=Py_ssize_t, i=Py_ssize_t, x=Py_ssize_t)
    cdef void measure(self) noexcept
    @cython.locals(d=Decoder, k=Py_ssize_t)
    cdef void touch_sources(self, Py_ssize_t i) noexcept
    @cython.locals(d=Decoder, p=Py_ssize_t, y=Py_ssize_t, x=Py_ssize_t)
    cdef Py_ssize_t first_change(self) noexcept
    @cython.locals(d=Decoder, x=Py_ssize_t, i=Py_ssize_t)
    cdef bint place_before(self, Py_ssize_t p, double latest) noexcept
    @cython.locals(d=Decoder)
    cdef void place_until(self, Py_ssize_t p) noexcept
    @cython.locals(d=Decoder, x=Py_ssize_t)
    cdef void take_back(self) noexcept
    @cython.locals(
        d=Decoder, longest=double, x=Py_ssize_t, i=Py_ssize_t, rest=double, mine=double, y=Py_ssize_t,
    )
    cdef double arrange(self) noexcept
