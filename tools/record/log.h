/*
 * log.h - the recorder's file: where events of all threads of a process go (tools/trace/format.h
 * has the form).
 *
 * Each thread writes into a chunk of the file that is mapped for it alone, so an event takes no
 * lock and no system call, and is in the file at once, whatever happens next. The lock is taken for
 * a new chunk only. The file is opened by its name for each chunk and closed again: programs close
 * descriptors that they do not know, and open their own files at the same number.
 *
 * fork: the state of a process lies in a page that the kernel wipes in a child (MADV_WIPEONFORK),
 * so that a child, however it was made, finds no state and begins a file of its own. What threads
 * remember says which state it belongs to (`generation`).
 *
 * Nothing here allocates or uses stdio; errno is kept by who calls in.
 */
#ifndef OSMEM_TOOLS_RECORD_LOG_H
#define OSMEM_TOOLS_RECORD_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/trace/format.h"

/* The chunk that a thread writes, and what differences in it are taken from. */
struct log_place {
    struct trace_chunk *chunk;
    uint8_t *cursor; /* the end of the records */
    uint8_t *limit;  /* an event that begins before it fits */
    uint64_t time;   /* of the last event */
    uint64_t address;
};

struct log {
    struct log_place place;
    uint64_t generation;
    uint64_t time;        /* of the last event: clock.h */
    int64_t until_sample; /* bytes to be allocated until the next stack is taken */
    uint64_t random;
    size_t chunk_bytes; /* of the next chunk */
    uint32_t thread;
    bool numbered; /* `thread` is valid */
    bool busy;     /* inside the recorder: what else comes is lost */
};

/* What is known of a process. All zero: nothing, recording has not begun. */
struct log_process {
    uint64_t generation;
    uint64_t sample_bytes;
    uint32_t clock; /* enum trace_clock */
};

extern __thread struct log log_own;
extern struct log_process *log_process;

/*
 * Makes room in the own chunk for a record of `bytes`, in a new chunk where necessary. False if
 * nothing is recorded. The caller has set `busy`.
 */
bool log_room(size_t bytes);

/* An event could not be recorded. */
void log_lost(void);

/* The record that ends at `cursor` becomes part of the file. */
static inline void log_commit(uint8_t *cursor) {
    struct log_place *place = &log_own.place;
    place->cursor = cursor;
    uint64_t length = (uint64_t)(cursor - (uint8_t *)(place->chunk + 1));
    __atomic_store_n(&place->chunk->length, length, __ATOMIC_RELEASE);
}

static inline bool log_has_room(void) {
    return __builtin_expect(log_own.place.cursor < log_own.place.limit &&
                                log_own.generation == log_process->generation,
                            true);
}

#endif
