# C types for graph.py: declarations alone, no behaviour.
cimport cython


@cython.final
cdef class Graph:
    cdef public Py_ssize_t tasks, nodes, channels, sink, resources
    cdef public bint congested
    cdef public double rate, release, deadline, late_rate, late_fixed
    cdef public double[::1] duration, price, transfer, bits, latency, bit_price, channel_price, last0
    cdef public double[::1] energy, bit_energy
    cdef public int[::1] source, target, inputs, outputs, output, channel, channel_resource
    cdef public int[::1] slot_first, slot_count, offset, count0, home_order, home_node


@cython.final
cdef class Room:
    cdef int[::1] ints
    cdef double[::1] reals
    cdef Py_ssize_t ints_given, reals_given

    @cython.locals(low=Py_ssize_t)
    cdef int[::1] whole(self, Py_ssize_t count)
    @cython.locals(low=Py_ssize_t)
    cdef double[::1] real(self, Py_ssize_t count)
