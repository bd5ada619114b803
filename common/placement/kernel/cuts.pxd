# C types for cuts.py: declarations alone, no behaviour.
cimport cython
from common.placement.kernel.decoder cimport Decoder
from common.placement.kernel.graph cimport Room


@cython.final
cdef class Cuts:
    cdef public Decoder d
    cdef public double share, much, little
    cdef public double[::1] forth, back, excess, bias
    cdef public int[::1] level, queue, arc

    @cython.locals(tasks=Py_ssize_t, edges=Py_ssize_t, given=Room, i=Py_ssize_t)
    cdef void _make_room(self) except *
    @cython.locals(moved=Py_ssize_t, i=Py_ssize_t)
    cpdef Py_ssize_t expand(self, Py_ssize_t alpha) noexcept
    @cython.locals(
        d=Decoder, i=Py_ssize_t, here=Py_ssize_t, there=Py_ssize_t, slower=double, k=Py_ssize_t, u=Py_ssize_t,
        v=Py_ssize_t, stay=double, second=double, first=double,
    )
    cdef void fill(self, Py_ssize_t alpha) noexcept
    @cython.locals(d=Decoder, c=Py_ssize_t, takes=double)
    cdef double sending(self, Py_ssize_t k, Py_ssize_t a, Py_ssize_t b) noexcept
    @cython.locals(
        d=Decoder, tail=Py_ssize_t, i=Py_ssize_t, head=Py_ssize_t, reached=bint, x=Py_ssize_t, j=Py_ssize_t,
    )
    cdef bint spread(self) noexcept
    @cython.locals(d=Decoder)
    cdef Py_ssize_t degree(self, Py_ssize_t i) noexcept
    @cython.locals(d=Decoder, out=Py_ssize_t)
    cdef Py_ssize_t neighbour(self, Py_ssize_t i, Py_ssize_t x) noexcept
    @cython.locals(d=Decoder, out=Py_ssize_t)
    cdef double room(self, Py_ssize_t i, Py_ssize_t x) noexcept
    @cython.locals(d=Decoder, out=Py_ssize_t, k=Py_ssize_t)
    cdef void flow(self, Py_ssize_t i, Py_ssize_t x, double amount) noexcept
    @cython.locals(i=Py_ssize_t, sent=double)
    cdef void push_all(self) noexcept
    @cython.locals(x=Py_ssize_t, j=Py_ssize_t, space=double, sent=double)
    cdef double push(self, Py_ssize_t i, double amount) noexcept
