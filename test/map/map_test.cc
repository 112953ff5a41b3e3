// osmem map, seen from outside: what it draws of real processes, beside what these count
// themselves, and what it says where it cannot.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <sstream>
#include <string>
#include <thread>

#include <pty.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/tools/shell.h"
#include "tools/map/snapshot.h"
#include "tools/trace/reader.h"
#include "gtest/gtest.h"

namespace osmem {

namespace {

const std::string TOOL = "tools/osmem ";
const std::string MAP = TOOL + "map ";
const std::string DROPIN = "malloc/libosmem-malloc.so";
const std::string PROGRAM = "test/map/heap_program ";
const std::string STATIC_PROGRAM = "test/map/static_heap_program ";

bool contains(const std::string &text, const std::string &part) {
    return text.find(part) != std::string::npos;
}

size_t count(const std::string &text, const std::string &part) {
    size_t found = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
        found++;
    return found;
}

void wait_until(const std::function<bool()> &condition) {
    for (int tries = 0; tries < 1000 && !condition(); tries++)
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_TRUE(condition());
}

// A program in the background, until the end of the case.
class Background {
  public:
    Background(const std::string &name, const std::string &command) : output_(scratch_file(name)) {
        std::remove(output_.c_str()); // of an earlier case
        process_ = shell_start(command, output_);
    }
    ~Background() {
        if (process_ != 0) {
            kill(process_, SIGKILL);
            end();
        }
    }
    Background(const Background &) = delete;
    Background &operator=(const Background &) = delete;

    pid_t process() const { return process_; }
    std::string output() const { return file_contents(output_); }
    int end() {
        int status;
        waitpid(process_, &status, 0);
        process_ = 0;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }

  private:
    const std::string output_;
    pid_t process_;
};

std::string preloaded(const std::string &program) {
    return "env LD_PRELOAD=" + DROPIN + " " + program;
}

// Where the tool's own output begins behind that of the program.
size_t picture_begin(const std::string &output) { return output.find("heap 0\n"); }

// The bytes and counts that the program printed, or of the tool's table, by their names.
using Numbers = std::map<std::string, std::pair<size_t, size_t>>;

Numbers program_numbers(const std::string &text) {
    Numbers numbers;
    std::istringstream lines(text.substr(0, picture_begin(text)));
    for (std::string line; std::getline(lines, line);) {
        char name[32];
        size_t bytes, blocks = 0;
        if (std::sscanf(line.c_str(), "%31s %zu in %zu", name, &bytes, &blocks) >= 2)
            numbers[name] = {bytes, blocks};
    }
    return numbers;
}

Numbers table_numbers(const std::string &text) {
    Numbers numbers;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        char name[32];
        size_t bytes, blocks = 0;
        if (line.compare(0, 2, "  ") == 0 &&
            std::sscanf(line.c_str(), " %31s %zu bytes in %zu", name, &bytes, &blocks) >= 2 &&
            std::strcmp(name, "purged") != 0)
            numbers.emplace(name, std::make_pair(bytes, blocks)); // lines of single heaps follow
    }
    return numbers;
}

// Whether ptrace(2) is allowed here, for a child of one's own or for any process of one's own: some
// containers forbid it, some systems (kernel.yama.ptrace_scope) allow it for children only.
enum class Whom { CHILD, ANYONE };

bool can_trace(Whom whom) {
    const auto fork_one = [](const std::function<int()> &act) {
        const pid_t child = fork();
        if (child == 0)
            _exit(act());
        return child;
    };
    const auto wait_for_signal = [] {
        for (;;)
            pause();
        return 0;
    };
    const auto seize = [](pid_t process) {
        return ptrace(PTRACE_SEIZE, process, nullptr, nullptr) == 0 ? 0 : 1;
    };
    const pid_t traced = fork_one(wait_for_signal);
    int status = 0;
    if (whom == Whom::CHILD)
        status = seize(traced);
    else
        waitpid(fork_one([&] { return seize(traced); }), &status, 0);
    kill(traced, SIGKILL);
    waitpid(traced, nullptr, 0);
    return status == 0;
}

#define SKIP_IF_NOT_TRACING(whom)                                                                  \
    if (!can_trace(whom))                                                                          \
    GTEST_SKIP() << "ptrace is not allowed here"

std::unique_ptr<Background> started(const std::string &command) {
    auto program = std::make_unique<Background>("program", command);
    wait_until([&] { return contains(program->output(), "resident"); });
    return program;
}

std::string pid_option(const Background &program) {
    return "--pid " + std::to_string(program.process()) + " ";
}

// ---- the command line --------------------------------------------------------------------------

class WrongMapCommandLine : public testing::TestWithParam<const char *> {};

TEST_P(WrongMapCommandLine, IsToldInOneLineAndExitStatusTwo) {
    const ShellResult result = shell(MAP + GetParam());
    EXPECT_EQ(result.status, 2);
    EXPECT_EQ(result.output, "");
    EXPECT_EQ(count(result.error, "\n"), 1u) << result.error;
    EXPECT_TRUE(contains(result.error, "osmem map: ")) << result.error;
    EXPECT_TRUE(contains(result.error, "--help")) << result.error;
}

INSTANTIATE_TEST_SUITE_P(
    All, WrongMapCommandLine,
    testing::Values("", "--", "--fly", "--pid", "--pid x", "--pid 0", "--pid -1", "--pid 1x",
                    "--pid 99999999999999999999", "--pid 1 -- true", "--pid 1 --from x", "--from",
                    "--from x -- true", "--from x --at exit", "--at end -- true", "--pid 1 --at 2",
                    "--from x --at -1", "--pid 1 --at exit", "--pid 1 --lib x", "--at -- true",
                    "--at now -- true", "--at 'every' -- true", "--at 'every x' -- true",
                    "--at 'every 0s' -- true", "--at 'every 1m' -- true", "--columns 0 -- true",
                    "--columns wide -- true", "--html"));

void expect_failure(const std::string &arguments, int status, const std::string &message) {
    const ShellResult result = shell(MAP + arguments);
    EXPECT_EQ(result.status, status) << arguments;
    EXPECT_EQ(result.output, "") << arguments;
    EXPECT_EQ(count(result.error, "\n"), 1u) << result.error;
    EXPECT_TRUE(contains(result.error, message)) << result.error;
}

TEST(MapFailure, NoSuchProcess) {
    const pid_t process = fork();
    if (process == 0)
        _exit(0);
    waitpid(process, nullptr, 0); // its number is free now
    expect_failure("--pid " + std::to_string(process), 1,
                   "there is no process " + std::to_string(process));
}

TEST(MapFailure, NotOnOsmem) {
    SKIP_IF_NOT_TRACING(Whom::ANYONE);
    const Background program("sleeper", "sleep 100");
    wait_until([&] {
        return contains(file_contents("/proc/" + std::to_string(program.process()) + "/comm"),
                        "sleep");
    });
    expect_failure(pid_option(program), 1, "does not run on osmem");
    expect_failure("--at exit --lib test/tools/libpassive.so -- true", 1, "does not run on osmem");
}

TEST(MapFailure, NoPermission) {
    SKIP_IF_NOT_TRACING(Whom::ANYONE);
    if (getuid() != 0 || shell("setpriv --version").status != 0)
        GTEST_SKIP() << "only root, with setpriv, can become somebody else";
    if (shell("setpriv --reuid 65534 true").status != 0)
        GTEST_SKIP() << "there is nobody else in this namespace";
    const auto program = started(preloaded(PROGRAM + "10 0 wait"));
    // Where everyone may look.
    char folder[] = "/tmp/osmem_map_test_XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    chmod(folder, 0755);
    const std::string tool = std::string(folder) + "/osmem";
    ASSERT_EQ(shell("cp -L tools/osmem " + tool + " && chmod 755 " + tool).status, 0);
    const ShellResult result = shell("setpriv --reuid 65534 --regid 65534 --clear-groups " + tool +
                                     " map " + pid_option(*program));
    EXPECT_EQ(result.status, 1);
    EXPECT_TRUE(contains(result.error, "only its owner, or root, may look into it"))
        << result.error;
    shell("rm -r " + std::string(folder));
}

TEST(MapFailure, DebuggedByAnother) {
    SKIP_IF_NOT_TRACING(Whom::CHILD);
    const auto program = started(preloaded(PROGRAM + "10 0 wait"));
    ASSERT_EQ(ptrace(PTRACE_SEIZE, program->process(), nullptr, nullptr), 0);
    expect_failure(pid_option(*program), 1,
                   "is being debugged by process " + std::to_string(getpid()));
}

TEST(MapFailure, FilesThatAreNone) {
    expect_failure("--from /no/such/map", 1, "/no/such/map: No such file or directory");
    expect_failure("--from /", 1, "/: ");
    const std::string file = scratch_file("none.osmap");
    for (const std::string text :
         {"", "osmem", "something else that is long enough for a header"}) {
        file_write(file, text);
        expect_failure("--from " + file, 1, "not a map of a heap");
    }
    file_write(file, "osmemmap" + std::string(100, '\x7f'));
    expect_failure("--from " + file, 1, "a map in version ");
}

TEST(MapFailure, ProgramsThatCannotBeStarted) {
    SKIP_IF_NOT_TRACING(Whom::CHILD);
    expect_failure("-- /no/such/program", 127, "/no/such/program: No such file or directory");
    expect_failure("-- /", 126, "/: Permission denied");
    expect_failure("--at signal -- /no/such/program", 127, "No such file");
}

TEST(MapFailure, PagesThatCannotBeWritten) {
    expect_failure("--html /no/such/folder/page.html -- true", 1,
                   "/no/such/folder/page.html: No such file or directory");
}

// ---- numbers -----------------------------------------------------------------------------------

class LiveMapOf : public testing::TestWithParam<const char *> {};

TEST_P(LiveMapOf, HasTheNumbersOfTheProcessToTheByte) {
    SKIP_IF_NOT_TRACING(Whom::ANYONE);
    for (const std::string &program : {preloaded(PROGRAM), STATIC_PROGRAM}) {
        const auto running = started(program + GetParam());
        const ShellResult result = shell(MAP + pid_option(*running));
        EXPECT_EQ(result.status, 0) << result.error;
        const Numbers own = program_numbers(running->output());
        Numbers drawn = table_numbers(result.output);
        EXPECT_EQ(own.size(), 8u);
        for (const auto &[name, number] : own) {
            EXPECT_EQ(drawn[name].first, number.first) << name << "\n" << result.output;
            EXPECT_EQ(drawn[name].second, number.second) << name << "\n" << result.output;
        }
        // It goes on.
        std::string state;
        wait_until([&] {
            state = file_contents("/proc/" + std::to_string(running->process()) + "/stat");
            return contains(state, ") S ");
        });
        kill(running->process(), SIGTERM);
    }
}

INSTANTIATE_TEST_SUITE_P(All, LiveMapOf,
                         testing::Values("0 0 wait", "1000 0 wait", "20000 0 wait", "3000 4 wait"));

TEST(LiveMap, OfAProgramThatNeverStopsIsSoundAndLeavesItSo) {
    SKIP_IF_NOT_TRACING(Whom::ANYONE);
    const auto program = started(preloaded(PROGRAM + "1000 2 churn"));
    for (int map = 0; map < 20; map++) {
        const ShellResult result = shell(MAP + pid_option(*program));
        ASSERT_EQ(result.status, 0) << result.error;
        Numbers drawn = table_numbers(result.output);
        EXPECT_EQ(drawn["heap"].first, drawn["allocated"].first + drawn["free"].first +
                                           drawn["untouched"].first + drawn["metadata"].first);
        EXPECT_EQ(drawn["heap"].second, 3u);
        EXPECT_GT(drawn["allocated"].second, 2000u);
    }
    const size_t printed = program->output().size();
    wait_until([&] { return program->output().size() > printed; });
}

TEST(MapAtExit, DrawsWhatTheProgramHadInTheEnd) {
    SKIP_IF_NOT_TRACING(Whom::CHILD);
    for (const std::string end : {"exit", "abort"}) {
        const ShellResult result = shell("ulimit -c 0; " + MAP + "-- " + PROGRAM + "2000 1 " + end);
        EXPECT_EQ(result.status, end == "exit" ? 3 : 128 + SIGABRT) << result.error;
        Numbers drawn = table_numbers(result.output);
        for (const auto &[name, number] : program_numbers(result.output))
            EXPECT_EQ(drawn[name], number) << name << "\n" << result.output;
        EXPECT_GT(drawn["allocated"].second, 2000u);
    }
}

TEST(MapEvery, DrawsAgainAndAgain) {
    SKIP_IF_NOT_TRACING(Whom::CHILD);
    const std::string prefix = scratch_file("every");
    const ShellResult result =
        shell(MAP + "--at 'every 100ms' --save " + prefix + " -- " + PROGRAM + "100 0 sleep");
    EXPECT_EQ(result.status, 3) << result.error;
    const size_t maps = count(result.output, "\nprocess ");
    EXPECT_GE(maps, 2u) << result.output;
    EXPECT_EQ(access((prefix + "." + std::to_string(maps - 1) + ".osmap").c_str(), R_OK), 0);
    EXPECT_NE(access((prefix + "." + std::to_string(maps) + ".osmap").c_str(), R_OK), 0);
}

TEST(MapEvery, EndsWithTheProcessThatItLooksAt) {
    SKIP_IF_NOT_TRACING(Whom::ANYONE);
    const auto program = started(preloaded(PROGRAM + "100 0 wait"));
    Background tool("tool", MAP + pid_option(*program) + "--at 'every 0.1s'");
    wait_until([&] { return contains(tool.output(), "process "); });
    kill(program->process(), SIGTERM);
    program->end();
    EXPECT_EQ(tool.end(), 0) << tool.output();
    EXPECT_GE(count(tool.output(), "process "), 1u);
}

TEST(MapSignal, DrawsWhenTheToolIsTold) {
    SKIP_IF_NOT_TRACING(Whom::CHILD);
    Background tool("tool", MAP + "--at signal -- " + PROGRAM + "100 0 wait");
    wait_until([&] { return contains(tool.output(), "resident"); });
    for (size_t maps = 1; maps <= 2; maps++) {
        kill(tool.process(), SIGUSR1);
        wait_until([&] { return count(tool.output(), "\nprocess ") == maps; });
    }
    kill(tool.process(), SIGTERM); // is handed on
    EXPECT_EQ(tool.end(), 128 + SIGTERM);
}

TEST(MapFrom, DrawsTheSameAsWasSaved) {
    SKIP_IF_NOT_TRACING(Whom::CHILD);
    const std::string prefix = scratch_file("saved");
    const ShellResult live = shell(MAP + "--save " + prefix + " -- " + PROGRAM + "5000 2 exit");
    const ShellResult saved = shell(MAP + "--from " + prefix + ".0.osmap");
    EXPECT_EQ(saved.status, 0) << saved.error;
    EXPECT_EQ(live.output.substr(picture_begin(live.output)), saved.output);
}

// ---- maps by the program itself ----------------------------------------------------------------

TEST(OwnMap, IsWrittenAtASignalAndAtTheEnd) {
    const std::string prefix = scratch_file("own");
    Background program("program", "env OSMEM_CONF=map:" + prefix + ",map_signal:10 " +
                                      preloaded(PROGRAM + "500 0 wait"));
    wait_until([&] { return contains(program.output(), "resident"); });
    kill(program.process(), SIGUSR1);
    const std::string file = prefix + "." + std::to_string(program.process()) + ".0.osmap";
    ShellResult result;
    wait_until([&] {
        result = shell(MAP + "--from " + file);
        return result.status == 0;
    });
    Numbers drawn = table_numbers(result.output);
    for (const auto &[name, number] : program_numbers(program.output()))
        EXPECT_EQ(drawn[name], number) << name << "\n" << result.output;

    EXPECT_EQ(shell("env OSMEM_CONF=map:" + prefix + " LD_PRELOAD=" + DROPIN + " true").status, 0);
    EXPECT_EQ(shell("ls " + prefix + ".*.0.osmap").status, 0);
}

// Of a real program: what it counted itself when it wrote the map, the map, and what an outsider
// sees a moment later.
TEST(OwnMap, OfPythonHasItsStatisticsInsideAndOutside) {
    SKIP_IF_NOT_TRACING(Whom::ANYONE);
    if (access("/usr/bin/python3", X_OK) != 0)
        GTEST_SKIP() << "there is no python3 here";
    const std::string prefix = scratch_file("python");
    const Background program(
        "program", "env PYTHONMALLOC=malloc OSMEM_CONF=map:" + prefix + ",map_signal:12 " +
                       preloaded("/usr/bin/python3 -c \"x = [str(i) * (i % 50) for i in "
                                 "range(50000)]; y = bytearray(10**6); del x[::3]; "
                                 "print('ready', flush=True); import time; "
                                 "time.sleep(100)\""));
    wait_until([&] { return contains(program.output(), "ready"); });
    // Until it sleeps.
    wait_until([&] {
        return contains(file_contents("/proc/" + std::to_string(program.process()) + "/stat"),
                        ") S ");
    });
    kill(program.process(), SIGUSR2);
    const std::string file = prefix + "." + std::to_string(program.process()) + ".0.osmap";
    wait_until([&] { return shell(MAP + "--from " + file).status == 0; });

    const Snapshot own = snapshot_parse(file_contents(file), file);
    ASSERT_TRUE(own.statistics);
    const Totals totals = snapshot_totals(own);
    EXPECT_GT(totals.allocated_blocks, 30000u);
    EXPECT_EQ(totals.allocated, own.statistics->allocated);
    EXPECT_EQ(totals.allocated_blocks, own.statistics->allocated_blocks);
    EXPECT_EQ(totals.free, own.statistics->free);
    EXPECT_EQ(totals.free_blocks, own.statistics->free_blocks);
    EXPECT_EQ(totals.untouched, own.statistics->untouched);
    EXPECT_EQ(totals.heap, own.statistics->heap);
    EXPECT_EQ(totals.mapped, own.statistics->mapped);
    EXPECT_EQ(totals.mapped_cached, own.statistics->mapped_cached);
    EXPECT_EQ(totals.resident, own.statistics->resident);

    Numbers inside = table_numbers(shell(MAP + "--from " + file).output);
    Numbers outside = table_numbers(shell(MAP + pid_option(program)).output);
    inside.erase("resident"); // to look at a page may bring it in
    outside.erase("resident");
    EXPECT_EQ(inside, outside);
}

TEST(OwnMap, LeavesAProgramsOwnHandlerAlone) {
    const std::string prefix = scratch_file("handler");
    const ShellResult result =
        shell("env OSMEM_CONF=map:" + prefix + ",map_signal:10 LD_PRELOAD=" + DROPIN +
              " bash -c \"trap 'echo caught' USR1; kill -USR1 \\$\\$; :\"");
    EXPECT_EQ(result.output, "caught\n") << result.error;
    EXPECT_EQ(shell("ls " + prefix + ".*.1.osmap").status, 2); // none but at the end
}

TEST(OwnMap, SaysWhenItCannotBeWritten) {
    const ShellResult result =
        shell("env OSMEM_CONF=map:/no/such/folder/map LD_PRELOAD=" + DROPIN + " true");
    EXPECT_EQ(result.status, 0);
    EXPECT_EQ(result.error, "osmem: no map: it could not be written; errno: 0x2\n");
}

// ---- recordings --------------------------------------------------------------------------------

TEST(MapOfARecording, HasTheBlocksOfTheProgramAtItsEnd) {
    const std::string trace = scratch_file("trace.osmem");
    const ShellResult recorded =
        shell(TOOL + "record -q -o '" + trace + "' -- " + PROGRAM + "3000 2 exit");
    ASSERT_EQ(recorded.status, 3) << recorded.error;
    Numbers own = program_numbers(recorded.output);
    const ShellResult result = shell(MAP + "--at end --from " + trace);
    EXPECT_EQ(result.status, 0) << result.error;
    Numbers drawn = table_numbers(result.output);
    EXPECT_EQ(drawn["allocated"], own["allocated"]);
    EXPECT_EQ(drawn["mapped"], own["mapped"]);
    EXPECT_EQ(drawn["heap"].second, 3u); // threads
}

// Live blocks of a trace when `second` has passed, or at its end, counted from its events.
struct Live {
    size_t heap_bytes = 0, heap_blocks = 0, mapped_bytes = 0, mapped_blocks = 0;
};

Live live_at(const std::string &path, double second) {
    TraceReader trace(path);
    TraceEvent event;
    std::map<uint64_t, TraceEvent> blocks;
    while (trace.next(&event) && double(event.time_ns) <= second * 1e9) {
        if (event.failed || event.block == TraceEvent::NO_BLOCK)
            continue;
        if (event.kind == TRACE_FREE)
            blocks.erase(event.block);
        else
            blocks[event.block] = event;
    }
    Live live;
    for (const auto &[number, block] : blocks) {
        if (block.size >= 128 * 1024 && block.address % 4096 == 0) {
            live.mapped_bytes += (block.size + 4095) / 4096 * 4096;
            live.mapped_blocks++;
        } else {
            live.heap_bytes += (block.size + 15) / 16 * 16;
            live.heap_blocks++;
        }
    }
    return live;
}

TEST(MapOfARecording, HasTheBlocksThatAreLiveAtTheMoment) {
    for (const std::string name : {"python3", "redis", "cc1plus", "sqlite3"}) {
        const std::string trace = "test/trace/data/" + name + ".osmem";
        for (const std::string moment : {"0", "0.05", "0.1", "end"}) {
            const Live live = live_at(trace, moment == "end" ? 1e9 : std::stod(moment));
            const ShellResult result = shell(MAP + "--at " + moment + " --from " + trace);
            ASSERT_EQ(result.status, 0) << result.error;
            Numbers drawn = table_numbers(result.output);
            EXPECT_EQ(drawn["allocated"], std::make_pair(live.heap_bytes, live.heap_blocks))
                << trace << " at " << moment;
            EXPECT_EQ(drawn["mapped"], std::make_pair(live.mapped_bytes, live.mapped_blocks))
                << trace << " at " << moment;
        }
    }
}

TEST(MapOfARecording, IsRefusedWhenItIsDamaged) {
    const std::string file = scratch_file("damaged.osmem");
    file_write(file, file_contents("test/trace/data/redis.osmem").substr(0, 100000));
    expect_failure("--from " + file, 1, file);
    file_write(file, "OSMTRACE");
    expect_failure("--from " + file, 1, file);
}

TEST(MapOfARecording, AtIsForRecordingsOnly) {
    const std::string file = scratch_file("small.osmap");
    EXPECT_EQ(shell("env OSMEM_CONF=map:" + file + " LD_PRELOAD=" + DROPIN + " true").status, 0);
    const ShellResult result = shell(MAP + "--at end --from " + file + ".*.0.osmap");
    EXPECT_EQ(result.status, 2);
    EXPECT_TRUE(contains(result.error, "is no recording")) << result.error;
}

// ---- the picture -------------------------------------------------------------------------------

std::string picture_of(const std::string &output) {
    return output.substr(0, output.find("one cell is "));
}

TEST(MapPicture, HasACellForEachPartOfTheHeap) {
    SKIP_IF_NOT_TRACING(Whom::CHILD);
    const std::string prefix = scratch_file("picture");
    shell(MAP + "--save " + prefix + " -- " + PROGRAM + "20000 0 exit");
    const ShellResult result = shell(MAP + "--columns 100 --from " + prefix + ".0.osmap");
    size_t scale = 0;
    ASSERT_EQ(
        std::sscanf(strstr(result.output.c_str(), "one cell is "), "one cell is %zu KiB", &scale),
        1);
    Numbers numbers = table_numbers(result.output);
    std::map<char, size_t> cells;
    std::istringstream lines(picture_of(result.output));
    for (std::string line; std::getline(lines, line);) {
        EXPECT_LE(line.size(), 100u);
        if (contains(line, "0x"))
            for (const char letter : line.substr(15))
                cells[letter]++;
    }
    const auto bytes = [&](const std::string &letters) {
        size_t sum = 0;
        for (const char letter : letters)
            sum += cells[letter] * scale * 1024;
        return sum;
    };
    EXPECT_EQ(bytes("#.~_m"), numbers["heap"].first); // whole regions and whole cells
    EXPECT_EQ(cells['M'], (numbers["mapped"].first + scale * 1024 - 1) / (scale * 1024));
    EXPECT_GT(bytes("#"), numbers["allocated"].first * 9 / 10); // two thirds of each part
    EXPECT_LT(bytes("#"), numbers["heap"].first - numbers["untouched"].first + scale * 1024);
}

// What the tool prints on a terminal of that size, with an environment.
std::string on_terminal(const std::string &environment, const std::string &arguments,
                        unsigned short columns, unsigned short rows) {
    int terminal;
    const winsize size = {rows, columns, 0, 0};
    const std::string command = "exec env " + environment + " " + MAP + arguments;
    const pid_t process = forkpty(&terminal, nullptr, nullptr, &size);
    if (process == 0) {
        execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
        _exit(127);
    }
    std::string output;
    char buffer[4096];
    for (ssize_t got; (got = read(terminal, buffer, sizeof buffer)) > 0;)
        output.append(buffer, size_t(got));
    close(terminal);
    waitpid(process, nullptr, 0);
    return output;
}

// Columns that a line takes: neither escape sequences nor bytes within a character.
size_t width_of(const std::string &line) {
    size_t width = 0;
    for (size_t at = 0; at < line.size(); at++) {
        if (line[at] == '\033')
            at = line.find('m', at);
        else if ((line[at] & 0xc0) != 0x80 && line[at] != '\r')
            width++;
    }
    return width;
}

TEST(MapPicture, FitsTheWindowAndHasItsColours) {
    SKIP_IF_NOT_TRACING(Whom::CHILD);
    const std::string prefix = scratch_file("window");
    shell(MAP + "--save " + prefix + " -- " + PROGRAM + "20000 1 exit");
    const std::string from = "--from " + prefix + ".0.osmap ";
    const std::string xterm = "-u NO_COLOR -u COLORTERM TERM=xterm-256color";
    for (const unsigned short columns : {60, 100, 200}) {
        const std::string output = on_terminal(xterm, from, columns, 50);
        std::istringstream lines(picture_of(output));
        size_t widest = 0;
        for (std::string line; std::getline(lines, line);)
            widest = std::max(widest, width_of(line));
        EXPECT_LE(widest, columns);
        EXPECT_GT(widest, columns - 17);
        EXPECT_LE(count(output, "\n"), 50u);
        EXPECT_TRUE(contains(output, "\033[0;38;5;")) << output;
    }
    EXPECT_TRUE(contains(on_terminal(xterm + " COLORTERM=truecolor", from, 80, 50), ";38;2;"));
    for (const std::string &plain :
         {on_terminal(xterm + " NO_COLOR=1", from, 80, 50),
          on_terminal(xterm + " TERM=dumb", from, 80, 50),
          on_terminal(xterm, from + "--no-color", 80, 50), shell(MAP + from).output})
        EXPECT_FALSE(contains(plain, "\033")) << plain;
}

} // namespace

} // namespace osmem
