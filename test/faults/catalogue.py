"""The faults: name -> what is run, and what it is called in the table.

PLUGIN and ALLOCATOR stand for the library that is loaded and unloaded, and for the allocator under test, which then is
not preloaded. A program's head comment says what it demands.
"""

import collections

Case = collections.namedtuple("Case", "command title")

CASES = {
    "limit_as_from_the_start": Case("limit as start", "RLIMIT_AS of 64 MiB from the start"),
    "limit_as_in_the_middle": Case("limit as middle", "RLIMIT_AS in the middle"),
    "limit_data_from_the_start": Case("limit data start", "RLIMIT_DATA of 64 MiB from the start"),
    "limit_data_in_the_middle": Case("limit data middle", "RLIMIT_DATA in the middle"),
    "limit_reached_by_four_threads": Case("threads_limit", "four threads at RLIMIT_AS"),
    "whole_block_after_all_was_freed": Case("whole as", "all freed, then 40 MiB in one block, RLIMIT_AS"),
    "whole_block_under_data_limit": Case("whole data", "the same, RLIMIT_DATA"),
    "cgroup_of_64_mib": Case("cgroup", "control group of 64 MiB churned through"),
    "map_count_exhausted": Case("map_count", "vm.max_map_count exhausted"),
    "break_blocked_from_the_start": Case("program_break blocked", "break blocked from the start"),
    "break_blocked_in_the_middle": Case("program_break blocked_later", "break blocked in the middle"),
    "break_moved_by_others": Case("program_break moved", "break moved by others, odd sizes, up and down"),
    "brk_refused": Case("refused brk", "`brk` refused"),
    "mmap_refused": Case("refused mmap", "`mmap` refused"),
    "munmap_refused": Case("refused munmap", "`munmap` refused"),
    "mremap_refused": Case("refused mremap", "`mremap` refused"),
    "madvise_refused": Case("refused madvise", "`madvise` refused"),
    "giving_back_refused": Case("refused munmap mremap madvise", "these three refused"),
    "all_memory_refused": Case("refused brk mmap", "`brk` and `mmap` refused, EAGAIN"),
    "sandbox": Case("sandbox", "sandbox of the fewest calls"),
    "sandbox_from_the_start": Case("sandbox start", "the same before the first allocation"),
    "sandbox_with_threads": Case("sandbox threads", "sandbox with threads"),
    "one_brk_refused": Case("nth_call brk once", "n-th `brk` fails, each n: not seen"),
    "one_mmap_refused": Case("nth_call mmap once", "n-th `mmap`"),
    "one_mremap_refused": Case("nth_call mremap once", "n-th `mremap`"),
    "one_munmap_refused": Case("nth_call munmap once", "n-th `munmap`"),
    "one_madvise_refused": Case("nth_call madvise once", "n-th `madvise`"),
    "one_call_refused": Case("nth_call any once", "n-th call of the five"),
    "brk_refused_from_one_on": Case("nth_call brk on", "from n-th `brk` on, each n: ENOMEM, recovery"),
    "mmap_refused_from_one_on": Case("nth_call mmap on", "from n-th `mmap` on"),
    "mremap_refused_from_one_on": Case("nth_call mremap on", "from n-th `mremap` on"),
    "munmap_refused_from_one_on": Case("nth_call munmap on", "from n-th `munmap` on"),
    "madvise_refused_from_one_on": Case("nth_call madvise on", "from n-th `madvise` on"),
    "calls_refused_from_one_on": Case("nth_call any on", "from n-th call of the five on"),
    "stacks_of_16_kib": Case("small_stacks", "thread stacks of 16 KiB"),
    "thread_exit_destructors": Case("thread_exit", "malloc in thread-exit destructors"),
    "before_main_and_after_exit": Case("life_cycle", "before main, after exit handlers"),
    "library_loaded_and_unloaded": Case("dynamic PLUGIN", "dlopen, dlclose of what allocates"),
    "allocator_loaded_and_unloaded": Case("dynamic ALLOCATOR alone", "dlopen, dlclose of the allocator"),
    "allocator_loaded_globally": Case("dynamic ALLOCATOR global", "the same with RTLD_GLOBAL"),
    "plugin_bound_deep": Case("deepbind PLUGIN own", "a plugin with an allocator of its own (RTLD_DEEPBIND)"),
    "plugin_block_freed_by_program": Case("deepbind PLUGIN foreign", "its blocks freed by the program"),
    "forks_while_threads_allocate": Case("busy_forks", "forks under 16 allocating threads"),
    "fork_in_signal_handler": Case("fork_in_handler", "fork in a signal handler"),
    "threads_born_and_ended": Case("thread_births", "threads born and ended"),
}
