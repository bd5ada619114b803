# C types for decoder.py: declarations alone, no behaviour. Without a compiler nobody reads them.
cimport cython
from common.placement.kernel.graph cimport Graph, Room


@cython.final
cdef class Decoder:
    cdef public Py_ssize_t tasks, nodes, channels, sink, resources, logged
    cdef public bint congested
    cdef public double rate, release, deadline, late_rate, late_fixed, at, never
    cdef public double[::1] duration, price, transfer, bits, latency, bit_price, channel_price, last0
    cdef public double[::1] energy, bit_energy
    cdef public double[::1] start, finish, tail, sent, first, last
    cdef public int[::1] source, target, inputs, outputs, output, channel, channel_resource
    cdef public int[::1] slot_first, slot_count, offset, count0, order, position, node, count, queue, mark
    cdef int[::1] log_resource, log_place

    cdef void _read(self, Graph graph)
    @cython.locals(
        edges=Py_ssize_t, spans=Py_ssize_t, booked=Py_ssize_t, given=Room, k=Py_ssize_t, i=Py_ssize_t,
    )
    cdef void _make_room(self, Graph graph) except *
    @cython.locals(r=Py_ssize_t)
    cpdef void clear(self) noexcept
    @cython.locals(r=Py_ssize_t, x=Py_ssize_t, high=Py_ssize_t)
    cpdef void undo(self, Py_ssize_t logged) noexcept
    @cython.locals(x=Py_ssize_t, low=Py_ssize_t, high=Py_ssize_t, begin=double)
    cdef Py_ssize_t gap(self, Py_ssize_t r, double ready, double length) noexcept
    @cython.locals(y=Py_ssize_t)
    cdef void book(self, Py_ssize_t r, Py_ssize_t x, double begin, double end) noexcept
    @cython.locals(
        j=Py_ssize_t, ready=double, k=Py_ssize_t, made=double, a=Py_ssize_t, c=Py_ssize_t, length=double,
        r=Py_ssize_t, x=Py_ssize_t, y=Py_ssize_t,
    )
    cpdef double place(self, Py_ssize_t i) noexcept
    @cython.locals(low=Py_ssize_t, y=Py_ssize_t, k=Py_ssize_t, made=double, x=Py_ssize_t, before=double)
    cdef void queue_inputs(self, Py_ssize_t i) noexcept
    @cython.locals(best=Py_ssize_t, where=Py_ssize_t, earliest=double, r=Py_ssize_t, x=Py_ssize_t)
    cdef double _take_slot(self, Py_ssize_t j, double ready, double length) noexcept
    @cython.locals(p=Py_ssize_t, i=Py_ssize_t)
    cpdef double decode(self, Py_ssize_t begin, double latest) noexcept
    @cython.locals(i=Py_ssize_t, p=Py_ssize_t)
    cpdef void measure_tails(self) noexcept
    @cython.locals(
        longest=double, j=Py_ssize_t, y=Py_ssize_t, k=Py_ssize_t, s=Py_ssize_t, b=Py_ssize_t, rest=double,
        c=Py_ssize_t,
    )
    cdef void measure_tail(self, Py_ssize_t i) noexcept
    @cython.locals(c=Py_ssize_t, dear=double)
    cpdef double edge_cost(self, Py_ssize_t k, Py_ssize_t a, Py_ssize_t b) noexcept
    @cython.locals(
        was=Py_ssize_t, cost=double, k=Py_ssize_t, a=Py_ssize_t, y=Py_ssize_t, b=Py_ssize_t,
    )
    cdef double move_cost(self, Py_ssize_t i, Py_ssize_t j) noexcept
    @cython.locals(cost=double, k=Py_ssize_t, y=Py_ssize_t)
    cpdef double task_cost(self, Py_ssize_t i, Py_ssize_t j) noexcept
    @cython.locals(cost=double, i=Py_ssize_t, j=Py_ssize_t, k=Py_ssize_t)
    cpdef double spent(self) noexcept
    @cython.locals(spent=double, i=Py_ssize_t, k=Py_ssize_t, a=Py_ssize_t, b=Py_ssize_t)
    cpdef double joules(self) noexcept
    @cython.locals(
        found=list, k=Py_ssize_t, u=Py_ssize_t, v=Py_ssize_t, x=Py_ssize_t, c=Py_ssize_t, takes=double, there=double,
    )
    cpdef list transfers(self)
    @cython.locals(cost=double)
    cpdef double time_cost(self, double finish) noexcept
    @cython.locals(rate=double, latest=double, left=double)
    cpdef double latest_for(self, double cost) noexcept
