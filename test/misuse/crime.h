/*
 * crime.h - what a crime is, and what may come of it.
 *
 * A crime is one thing that a program must never do with an allocator, done once, in a process of
 * its own, with nothing but malloc, free, calloc, realloc, memalign and malloc_usable_size: so any
 * allocator can be tried, by LD_PRELOAD. After the crime the program goes on as if nothing had
 * been: the aftermath (shadow.h) allocates, fills and frees many blocks of the sizes in question,
 * every one of them known to a shadow model. So the outcome is one of
 *
 *   stopped    the allocator ended the program during the crime, with a message on standard error;
 *              or the crime's own access was the fault: it hit a guard page (trapped).
 *   late       the same, but only in the aftermath or when the program ended.
 *   unnoticed  the program ended well, and the model agreed to the end: nobody was harmed but those
 *              whose memory the crime itself wrote to.
 *   corrupted  the model disagreed: the allocator handed out memory that was in use, or that is
 *              none, or lost it, or changed the contents of a block that the crime did not write
 * to. With osmem also: os_heap_check() finds a broken invariant. crashed    a signal ended the
 * program, not by the crime's own access, and nobody said why. hung       the program did not end
 * within the time that it was given.
 *
 * A second free of an address that was handed out again in between is a free of the new block to
 * any allocator: there the model takes the new block as freed, by the crime.
 *
 * The exit status says what the program itself can tell (below); the rest is told by outcome.py.
 */
#ifndef OSMEM_TEST_MISUSE_CRIME_H
#define OSMEM_TEST_MISUSE_CRIME_H

#include <stddef.h>

#define EXIT_WELL 0
#define EXIT_CORRUPTED 40
#define EXIT_TRAPPED 41
#define EXIT_IMPOSSIBLE 42 /* the crime could not be committed here */

/* Which calls a bad pointer is given to: each is a crime of its own. */
#define FREE 1u
#define REALLOC 2u
#define USABLE_SIZE 4u
#define EVERY_CALL (FREE | REALLOC | USABLE_SIZE)

/*
 * What osmem is expected to do: a regular expression that is found in its message, which comes at
 * once, of racing crimes perhaps late; or one of these words.
 */
#define UNNOTICED "unnoticed"
#define TRAPPED "trapped"
#define HARMLESS "unnoticed or trapped" /* by what happens to be mapped there */
#define STOPPED "stopped"               /* in any way, at once or late */

#define ALREADY_FREE "is already free"
#define FREED "is already free|lies inside a free block"
#define INSIDE_FREE "lies inside a free block"
#define INSIDE_LIVE "lies inside a live block"
#define INSIDE_MAPPED "lies inside a mapped block"
#define OWN_MEMORY "lies in the allocator's own memory"
#define FOREIGN "was not allocated here"

struct crime {
    const char *name;
    /* Makes the bad pointer, which is then given to each of `calls`; or, where calls is 0: */
    void *(*pointer)(const struct crime *crime);
    /* commits all of it. */
    void (*commit)(const struct crime *crime);
    unsigned calls;
    size_t size;   /* of the blocks in question */
    size_t amount; /* bytes: an offset, or how many are written */
    const char *shipped;
    const char *guarded;
};

/* One file each, ended by a crime without a name. */
extern const struct crime freed_crimes[];
extern const struct crime foreign_crimes[];
extern const struct crime interior_crimes[];
extern const struct crime mapped_crimes[];
extern const struct crime racing_crimes[];
extern const struct crime overflow_crimes[];
extern const struct crime after_free_crimes[];
extern const struct crime poison_crimes[];
extern const struct crime forged_crimes[];

/* ---- the tools of a criminal ------------------------------------------------------------------
 */

/* Sizes: cached by most allocators, not cached by some, above all classes, mapped. */
#define SMALL 48
#define MEDIUM 1000
#define LARGE 40000
#define MAPPED (1024 * 1024)

/* Memory of the program itself, in main's frame and static. */
#define OWN_BYTES 4096
extern char *crime_stack;
extern char crime_global[OWN_BYTES];

/* The compiler must not know what happens to these pointers. */
void crime_free(void *ptr);
void crime_call(unsigned call, void *ptr, size_t size);

/* Writes where the program may not, byte for byte; a fault here is the crime's own. */
void crime_write(void *ptr, int byte, size_t size);
void crime_write_word(void *ptr, size_t word);

/* Runs in a thread of its own, and waits for its end. */
void crime_in_thread(void *(*run)(void *), void *argument);

_Noreturn void crime_impossible(const char *why);

#endif
