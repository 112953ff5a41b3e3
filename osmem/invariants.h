/*
 * invariants.h - the numbers of the invariants that os_heap_check() returns. Each is stated in the
 * head of the header that its letter names, and listed in docs/design.md.
 */
#ifndef OSMEM_OSMEM_INVARIANTS_H
#define OSMEM_OSMEM_INVARIANTS_H

enum invariant {
    INVARIANT_T1 = 1, /* tags.h: starts of blocks */
    INVARIANT_T2,     /*         lengths inside blocks */
    INVARIANT_T3,     /*         a free bit without a start */
    INVARIANT_R1,     /* region.h: owner */
    INVARIANT_R2,     /*           order of first block, top, committed */
    INVARIANT_R3,     /*           the untouched end */
    INVARIANT_Q1,     /* quick.h: fill of a set */
    INVARIANT_Q2,     /*          what a slot holds */
    INVARIANT_B1,     /* bins.h: bitmap */
    INVARIANT_B2,     /*         its summary */
    INVARIANT_B3,     /*         a free block without an entry */
    INVARIANT_L1,     /* large.h: what the tree holds */
    INVARIANT_L2,     /*          its order */
    INVARIANT_H1,     /* heap.h: free neighbours */
    INVARIANT_H2,     /*         the run */
    INVARIANT_A1,     /* slab.h: edges of pages */
    INVARIANT_A2,     /*         the chunk */
    INVARIANT_M1,     /* mapped.h: entries */
    INVARIANT_M2,     /*           the table */
    INVARIANT_S1,     /* spare.h: kept extents */
    INVARIANT_S2,     /*          their sum */
    INVARIANT_G1,     /* guard.h: canaries */
    INVARIANT_G2,     /*          freed memory */
    INVARIANT_COUNT,
};

#endif
