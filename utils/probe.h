/*
 * probe.h - static probes for debuggers and tracers (gdb, perf, bpftrace, SystemTap): a nop each,
 * and a note in the file that tells where it is and where its arguments then are. As <sys/sdt.h> of
 * SystemTap makes them, of which these few lines are all that is needed; the format is described in
 * SystemTap's "User Space Probe Implementation".
 *
 * A probe has no semaphore: it costs its nop, and that its arguments are at hand. Its function, and
 * the byte that tells where the file was linked to, are referred to by a second note, of ours,
 * which no linker drops as unused: the first one may not refer to what is not there.
 */
#ifndef OSMEM_UTILS_PROBE_H
#define OSMEM_UTILS_PROBE_H

#define PROBE_PROVIDER "osmem"

/* `arguments` describes them: signed width in bytes @ operand, of those that follow. */
#define PROBE_NOTE(name, arguments, ...)                                                           \
    __asm__ volatile("990: nop\n"                                                                  \
                     ".pushsection .note.stapsdt,\"?\",\"note\"\n"                                 \
                     ".balign 4\n"                                                                 \
                     ".4byte 992f-991f, 994f-993f, 3\n"                                            \
                     "991: .asciz \"stapsdt\"\n"                                                   \
                     "992: .balign 4\n"                                                            \
                     "993: .8byte 990b\n"                                                          \
                     ".8byte _.stapsdt.base\n"                                                     \
                     ".8byte 0\n"                                                                  \
                     ".asciz \"" PROBE_PROVIDER "\"\n"                                             \
                     ".asciz \"" name "\"\n"                                                       \
                     ".asciz \"" arguments "\"\n"                                                  \
                     "994: .balign 4\n"                                                            \
                     ".popsection\n"                                                               \
                     ".pushsection .note." PROBE_PROVIDER ",\"a\",\"note\"\n"                      \
                     ".balign 4\n"                                                                 \
                     ".4byte 992f-991f, 994f-993f, 0\n"                                            \
                     "991: .asciz \"" PROBE_PROVIDER "\"\n"                                        \
                     "992: .balign 4\n"                                                            \
                     "993: .4byte 990b-.\n"                                                        \
                     ".4byte _.stapsdt.base-.\n"                                                   \
                     "994: .popsection\n"                                                          \
                     ".ifndef _.stapsdt.base\n"                                                    \
                     ".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"       \
                     ".weak _.stapsdt.base\n"                                                      \
                     ".hidden _.stapsdt.base\n"                                                    \
                     "_.stapsdt.base: .space 1\n"                                                  \
                     ".size _.stapsdt.base, 1\n"                                                   \
                     ".popsection\n"                                                               \
                     ".endif\n" ::__VA_ARGS__)

/* Arguments are of the width of a pointer. */
#define PROBE_VALUE(value) "r"((uintptr_t)(value))
#define PROBE1(name, a) PROBE_NOTE(name, "8@%0", PROBE_VALUE(a))
#define PROBE2(name, a, b) PROBE_NOTE(name, "8@%0 8@%1", PROBE_VALUE(a), PROBE_VALUE(b))
#define PROBE3(name, a, b, c)                                                                      \
    PROBE_NOTE(name, "8@%0 8@%1 8@%2", PROBE_VALUE(a), PROBE_VALUE(b), PROBE_VALUE(c))
#define PROBE4(name, a, b, c, d)                                                                   \
    PROBE_NOTE(name, "8@%0 8@%1 8@%2 8@%3", PROBE_VALUE(a), PROBE_VALUE(b), PROBE_VALUE(c),        \
               PROBE_VALUE(d))

#endif
