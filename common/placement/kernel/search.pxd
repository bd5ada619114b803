# C types for search.py: declarations alone, no behaviour.
cimport cython
from common.placement.kernel.decoder cimport Decoder
from common.placement.kernel.graph cimport Room


ctypedef unsigned long long word


@cython.final
cdef class Search:
    cdef public Decoder d
    cdef public word state
    cdef public Py_ssize_t evaluations, proposals
    cdef public double best, cost, spent
    cdef public double[::1] dips
    cdef public int[::1] best_order, best_node, moved
    cdef int[::1] turn
    cdef double[::1] tail, start, sent

    @cython.locals(tasks=Py_ssize_t, edges=Py_ssize_t, given=Room)
    cdef void _make_room(self) except *
    cdef Py_ssize_t draw(self, Py_ssize_t below) noexcept
    cpdef double weigh(self) noexcept
    @cython.locals(x=Py_ssize_t)
    cpdef void note(self) noexcept
    @cython.locals(d=Decoder, x=Py_ssize_t, i=Py_ssize_t, mine=double, y=Py_ssize_t, before=Py_ssize_t)
    cpdef void follow_tails(self) noexcept
    @cython.locals(x=Py_ssize_t)
    cpdef void recall(self) noexcept
    @cython.locals(begun=Py_ssize_t, started=Py_ssize_t, done=double, looked=double, best=double, gained=Py_ssize_t)
    cpdef void anneal(self, Py_ssize_t budget, Py_ssize_t patience, double hot, double cold) noexcept
    @cython.locals(d=Decoder, p=Py_ssize_t, logged=Py_ssize_t)
    cdef void sweep(self, double temperature, Py_ssize_t until) noexcept
    cdef void weigh_again(self) noexcept
    @cython.locals(kind=Py_ssize_t)
    cdef void propose(self, Py_ssize_t p, double limit) noexcept
    @cython.locals(d=Decoder, j=Py_ssize_t, _=Py_ssize_t)
    cdef Py_ssize_t other_node(self, Py_ssize_t i) noexcept
    @cython.locals(d=Decoder, j=Py_ssize_t, _=Py_ssize_t)
    cdef Py_ssize_t next_node(self, Py_ssize_t i) noexcept
    @cython.locals(d=Decoder, j=Py_ssize_t, ready=double, k=Py_ssize_t, a=Py_ssize_t, there=double)
    cdef bint too_late(self, Py_ssize_t i, double latest) noexcept
    @cython.locals(d=Decoder, i=Py_ssize_t, was=Py_ssize_t, j=Py_ssize_t, spent=double, latest=double, before=double)
    cdef void move(self, Py_ssize_t p, double limit) noexcept
    @cython.locals(finish=double, cost=double)
    cdef bint taken(self, Py_ssize_t p, double spent, double latest, double limit) noexcept
    @cython.locals(d=Decoder, i=Py_ssize_t, k=Py_ssize_t)
    cdef void hold(self) noexcept
    @cython.locals(d=Decoder, latest=double, same=bint, x=Py_ssize_t, i=Py_ssize_t, k=Py_ssize_t)
    cdef bint reordered(self, Py_ssize_t p, Py_ssize_t q, double limit) noexcept
    @cython.locals(
        d=Decoder, i=Py_ssize_t, fan=Py_ssize_t, j=Py_ssize_t, s=Py_ssize_t, was=Py_ssize_t, then=Py_ssize_t,
        spent=double, latest=double, q=Py_ssize_t,
    )
    cdef void move_two(self, Py_ssize_t p, double limit) noexcept
    @cython.locals(d=Decoder)
    cdef void tails_between(self, Py_ssize_t p, Py_ssize_t q) noexcept
    @cython.locals(d=Decoder, x=Py_ssize_t)
    cdef void tails_back(self, Py_ssize_t p, Py_ssize_t q) noexcept
    @cython.locals(
        d=Decoder, left=Py_ssize_t, q=Py_ssize_t, i=Py_ssize_t, x=Py_ssize_t, free=bint, k=Py_ssize_t,
    )
    cdef void advance(self, Py_ssize_t p, double limit) noexcept
    @cython.locals(
        d=Decoder, i=Py_ssize_t, was=Py_ssize_t, j=Py_ssize_t, q=Py_ssize_t, spent=double, x=Py_ssize_t,
        latest=double,
    )
    cdef void move_run(self, Py_ssize_t p, double limit) noexcept
    @cython.locals(d=Decoder, i=Py_ssize_t, q=Py_ssize_t, x=Py_ssize_t)
    cdef void delay(self, Py_ssize_t p, double limit) noexcept
    @cython.locals(d=Decoder, k=Py_ssize_t)
    cdef bint needs(self, Py_ssize_t s, Py_ssize_t i) noexcept
