// The osmem command, seen from outside: command lines, exit statuses, what is printed. Nothing here
// depends on how fast anything is.
#include <csignal>
#include <set>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

#include "nlohmann/json.hpp"
#include "test/tools/shell.h"
#include "gtest/gtest.h"

namespace osmem {

namespace {

using Json = nlohmann::json;

const std::string TOOL = "tools/osmem ";
const std::string PROGRAM = "test/tools/program ";
const std::string STATIC_PROGRAM = "test/tools/static_program ";
const std::string PASSIVE = "test/tools/libpassive.so";
const std::string CRASHING = "test/tools/libcrashing.so";

// Compares glibc and osmem only, in one measured round.
const std::string COMPARE = TOOL + "compare -n 1 --allocators osmem ";

bool contains(const std::string &text, const std::string &part) {
    return text.find(part) != std::string::npos;
}

size_t count_lines(const std::string &text) {
    return size_t(std::count(text.begin(), text.end(), '\n'));
}

// The line of the table that begins with `name`.
std::string row_of(const std::string &name, const std::string &table) {
    const size_t begin = table.find("\n" + name + " ");
    if (begin == std::string::npos)
        return "";
    return table.substr(begin + 1, table.find('\n', begin + 1) - begin - 1);
}

struct JsonResult {
    ShellResult shell;
    Json json;
    const Json &allocator(const std::string &name) const {
        static const Json none;
        for (const Json &allocator : json["allocators"])
            if (allocator["name"] == name)
                return allocator;
        ADD_FAILURE() << "no " << name << " in " << json.dump();
        return none;
    }
};

JsonResult compare_to_json(const std::string &arguments) {
    JsonResult result{shell(COMPARE + "--json - " + arguments), {}};
    result.json = Json::parse(result.shell.output, nullptr, false);
    EXPECT_FALSE(result.json.is_discarded()) << result.shell.output << result.shell.error;
    return result;
}

// ---- the command line --------------------------------------------------------------------------

class WrongCommandLine : public testing::TestWithParam<const char *> {};

TEST_P(WrongCommandLine, IsToldInOneLineAndExitStatusTwo) {
    const ShellResult result = shell(TOOL + GetParam());
    EXPECT_EQ(result.status, 2);
    EXPECT_EQ(result.output, "");
    EXPECT_EQ(count_lines(result.error), 1u) << result.error;
    EXPECT_EQ(result.error.compare(0, 5, "osmem"), 0) << result.error;
    EXPECT_TRUE(contains(result.error, "--help")) << result.error;
}

INSTANTIATE_TEST_SUITE_P(
    All, WrongCommandLine,
    testing::Values("", "fly", "--fly", "help fly", "run", "run --", "run --stats",
                    "run --fly -- true", "run --stats=9 -- true", "run --lib", "compare",
                    "compare --", "compare --fly -- true", "compare -n", "compare -n 0 -- true",
                    "compare -n two -- true", "compare -n 2x -- true",
                    "compare --warmup -1 -- true", "compare --timeout 0 -- true",
                    "compare --timeout soon -- true", "compare --allocators , -- true",
                    "compare --allocators fly -- true", "compare --also fly -- true",
                    "compare --also =/lib -- true",
                    "compare --also glibc=test/tools/libpassive.so -- true"));

TEST(Help, NamesEveryCommandAndGoesToStandardOutput) {
    for (const char *arguments : {"--help", "-h", "help"}) {
        const ShellResult result = shell(TOOL + arguments);
        EXPECT_EQ(result.status, 0);
        EXPECT_TRUE(contains(result.output, "\n  run ")) << result.output;
        EXPECT_TRUE(contains(result.output, "\n  compare ")) << result.output;
        EXPECT_EQ(result.error, "");
    }
}

TEST(Help, DescribesEachCommand) {
    for (const std::string command :
         {"run", "compare", "record", "replay", "report", "map", "trace-demo"}) {
        const ShellResult result = shell(TOOL + command + " --help");
        EXPECT_EQ(result.status, 0);
        EXPECT_EQ(result.output.compare(0, 13 + command.size(), "usage: osmem " + command), 0);
        EXPECT_EQ(result.output, shell(TOOL + "help " + command).output);
        EXPECT_EQ(result.output, shell(TOOL + command + " -h").output);
    }
}

// ---- osmem run ---------------------------------------------------------------------------------

TEST(Run, PassesTheExitStatusOn) {
    EXPECT_EQ(shell(TOOL + "run -- " + PROGRAM + "exit 0").status, 0);
    EXPECT_EQ(shell(TOOL + "run -- " + PROGRAM + "exit 3").status, 3);
    EXPECT_EQ(shell(TOOL + "run " + PROGRAM + "exit 255").status, 255);
}

TEST(Run, ShowsTheSignalThatKilledTheProgram) {
    EXPECT_EQ(shell(TOOL + "run -- " + PROGRAM + "kill 11").status, 128 + SIGSEGV);
    EXPECT_EQ(shell(TOOL + "run -- " + PROGRAM + "kill 6").status, 128 + SIGABRT);
}

TEST(Run, TellsApartWhatIsMissingAndWhatCannotBeExecuted) {
    const ShellResult missing = shell(TOOL + "run -- test/tools/no-such-program");
    EXPECT_EQ(missing.status, 127);
    EXPECT_EQ(missing.error, "osmem: test/tools/no-such-program: No such file or directory\n");
    EXPECT_EQ(shell(TOOL + "run -- /etc/passwd").status, 126);
}

TEST(Run, HandsArgumentsOnUnchanged) {
    EXPECT_EQ(shell(TOOL + "run -- " + PROGRAM + "print '  two  words '").output,
              "  two  words \n");
    EXPECT_EQ(shell(TOOL + "run " + PROGRAM + "print --stats").output, "--stats\n");
}

TEST(Run, PreloadsTheDropIn) {
    const ShellResult result = shell("unset LD_PRELOAD; " + TOOL + "run -- cat /proc/self/maps");
    EXPECT_EQ(result.status, 0);
    EXPECT_TRUE(contains(result.output, "/libosmem-malloc.so\n")) << result.output;
    EXPECT_EQ(result.error, "");
}

TEST(Run, KeepsWhatWasPreloadedBefore) {
    const ShellResult result = shell("export LD_PRELOAD=$PWD/" + PASSIVE + "; " + TOOL + "run -- " +
                                     PROGRAM + "environment LD_PRELOAD");
    EXPECT_TRUE(contains(result.output, "/libosmem-malloc.so:")) << result.output;
    EXPECT_TRUE(contains(result.output, "/libpassive.so\n")) << result.output;
}

TEST(Run, FindsTheDropInWhenCalledByAnyPath) {
    for (const std::string call :
         {"cd tools && ./osmem", "$PWD/tools/osmem", "PATH=tools:$PATH osmem",
          "env -u RUNFILES_DIR -u RUNFILES_MANIFEST_FILE $PWD/tools/osmem"}) {
        const ShellResult result = shell(call + " run -- cat /proc/self/maps");
        EXPECT_TRUE(contains(result.output, "/libosmem-malloc.so\n")) << call << result.error;
    }
}

TEST(Run, TakesAnotherLibrary) {
    const ShellResult result =
        shell(TOOL + "run --lib " + PASSIVE + " -- " + PROGRAM + "environment LD_PRELOAD");
    EXPECT_TRUE(contains(result.output, "libpassive.so")) << result.output << result.error;
    EXPECT_FALSE(contains(result.output, "libosmem-malloc.so"));
}

TEST(Run, RefusesWhatIsNoLibrary) {
    for (const std::string library : {"test/tools/no-such-library.so", "/etc/passwd"}) {
        const ShellResult result =
            shell(TOOL + "run --lib " + library + " -- " + PROGRAM + "exit 0");
        EXPECT_EQ(result.status, 1);
        EXPECT_TRUE(contains(result.error, library)) << result.error;
        EXPECT_EQ(count_lines(result.error), 1u);
    }
}

TEST(Run, RefusesALibraryThatLdPreloadCannotName) {
    const std::string library = scratch_file("with space.so");
    const ShellResult result = shell("cp " + PASSIVE + " '" + library + "'; " + TOOL +
                                     "run --lib '" + library + "' -- " + PROGRAM + "exit 0");
    EXPECT_EQ(result.status, 1);
    EXPECT_TRUE(contains(result.error, "space")) << result.error;
}

TEST(Run, StatsAreAskedForByTheConfiguration) {
    const std::string show = PROGRAM + "environment OSMEM_CONF";
    const std::string run = TOOL + "run --lib " + PASSIVE + " ";
    EXPECT_EQ(shell("unset OSMEM_CONF; " + run + "-- " + show).output, "(not set)\n");
    EXPECT_EQ(shell("unset OSMEM_CONF; " + run + "--stats -- " + show).output, "stats_print:on\n");
    EXPECT_EQ(shell("export OSMEM_CONF=guard:on; " + run + "--stats -- " + show).output,
              "guard:on,stats_print:on\n");
}

TEST(Run, StatsArePrintedAtTheEnd) {
    const ShellResult result = shell(TOOL + "run --stats -- " + PROGRAM + "print text");
    EXPECT_EQ(result.status, 0);
    EXPECT_EQ(result.output, "text\n");
    EXPECT_GT(count_lines(result.error), 3u) << result.error;
}

TEST(Run, ReturnsToWhereBazelWasCalled) {
    const ShellResult result =
        shell("BUILD_WORKING_DIRECTORY=/usr " + TOOL + "run -- sh -c 'pwd; ls -d bin'");
    EXPECT_EQ(result.output, "/usr\nbin\n") << result.error;
    EXPECT_EQ(shell("BUILD_WORKING_DIRECTORY=/no/such " + TOOL + "run -- true").status, 1);
}

TEST(Run, AScriptGivesTheSameResults) {
    const std::string script = "python3 examples/word_index.py --scale 2";
    const ShellResult plain = shell(script);
    const ShellResult served = shell(TOOL + "run -- " + script);
    EXPECT_EQ(served.status, 0) << served.error;
    EXPECT_EQ(served.output, plain.output);
    EXPECT_EQ(served.error, plain.error);
}

// ---- osmem compare -----------------------------------------------------------------------------

TEST(Compare, ListsGlibcFirstThenOsmem) {
    const ShellResult result = shell(COMPARE + "-- " + PROGRAM + "hold 1");
    EXPECT_EQ(result.status, 0) << result.output << result.error;
    const size_t glibc = result.output.find("\nglibc ");
    const size_t osmem = result.output.find("\nosmem ");
    EXPECT_LT(glibc, osmem) << result.output;
    EXPECT_NE(osmem, std::string::npos) << result.output;
    EXPECT_TRUE(contains(row_of("glibc", result.output), "1.000")) << result.output;
}

TEST(Compare, SaysOnStandardErrorHowFarItIs) {
    const ShellResult result = shell(COMPARE + "-n 2 --warmup 1 -- " + PROGRAM + "exit 0");
    EXPECT_TRUE(contains(result.error, "warm-up 1 of 1")) << result.error;
    EXPECT_TRUE(contains(result.error, "round 2 of 2")) << result.error;
}

TEST(Compare, WritesEveryRunAsJson) {
    const JsonResult result = compare_to_json("-n 3 --warmup 2 -- " + PROGRAM + "print text");
    EXPECT_EQ(result.shell.status, 0);
    EXPECT_EQ(result.json["command"], Json({"test/tools/program", "print", "text"}));
    EXPECT_EQ(result.json["interrupted"], false);
    ASSERT_EQ(result.json["allocators"].size(), 2u);
    for (const std::string name : {"glibc", "osmem"}) {
        const Json &runs = result.allocator(name)["runs"];
        ASSERT_EQ(runs.size(), 5u);
        for (size_t index = 0; index < runs.size(); index++) {
            EXPECT_EQ(runs[index]["warmup"], index < 2);
            EXPECT_EQ(runs[index]["end"], "exited");
            EXPECT_EQ(runs[index]["exit_status"], 0);
            EXPECT_EQ(runs[index]["output_bytes"], 5);
            EXPECT_GT(runs[index]["wall_s"], 0.0);
            EXPECT_GT(runs[index]["peak_bytes"], 0);
            EXPECT_EQ(runs[index]["remark"], "");
        }
    }
    EXPECT_EQ(result.allocator("glibc")["ratio"]["wall_s"], 1.0);
    EXPECT_TRUE(result.allocator("glibc")["library"].is_null());
}

TEST(Compare, JsonToAFileLeavesTheTableOnStandardOutput) {
    const std::string file = scratch_file("runs.json");
    const ShellResult result = shell(COMPARE + "--json '" + file + "' -- " + PROGRAM + "exit 0");
    EXPECT_TRUE(contains(result.output, "\nosmem ")) << result.output;
    EXPECT_FALSE(Json::parse(file_contents(file), nullptr, false).is_discarded());
    EXPECT_EQ(shell(COMPARE + "--json /no/such/file -- " + PROGRAM + "exit 0").status, 1);
}

TEST(Compare, MedianLiesBetweenTheMiddleRuns) {
    const JsonResult result = compare_to_json("-n 4 --warmup 0 -- " + PROGRAM + "exit 0");
    const Json &glibc = result.allocator("glibc");
    std::multiset<double> times;
    for (const Json &run : glibc["runs"])
        times.insert(run["wall_s"].get<double>());
    ASSERT_EQ(times.size(), 4u);
    const double median = (*std::next(times.begin(), 1) + *std::next(times.begin(), 2)) / 2;
    EXPECT_DOUBLE_EQ(glibc["median"]["wall_s"].get<double>(), median);
}

TEST(Compare, PeakIsTheProgramsOwn) {
    const double mib = 1024 * 1024;
    const JsonResult large = compare_to_json("-- " + PROGRAM + "hold 64");
    const JsonResult small = compare_to_json("-- " + PROGRAM + "hold 1");
    for (const std::string name : {"glibc", "osmem"}) {
        const double most = large.allocator(name)["median"]["peak_bytes"].get<double>();
        EXPECT_GE(most, 64 * mib) << name;
        EXPECT_LE(most, 72 * mib) << name;
        EXPECT_LE(small.allocator(name)["median"]["peak_bytes"].get<double>(), 4 * mib) << name;
    }
}

TEST(Compare, SeesThatTheLibraryIsLoaded) {
    // Long enough to be looked at.
    const JsonResult result =
        compare_to_json("--also passive=" + PASSIVE + " -- " + PROGRAM + "sleep 1");
    EXPECT_EQ(result.shell.status, 0) << result.shell.error;
    EXPECT_EQ(result.allocator("osmem")["runs"][0]["preloaded"], true);
    EXPECT_EQ(result.allocator("passive")["runs"][0]["preloaded"], true);
    EXPECT_TRUE(result.allocator("glibc")["runs"][0]["preloaded"].is_null());
}

TEST(Compare, WarnsOfAStaticProgram) {
    for (const std::string task : {"exit 0", "sleep 1"}) { // too short to be looked at, and not
        const ShellResult result = shell(COMPARE + "-- " + STATIC_PROGRAM + task);
        EXPECT_EQ(result.status, 1);
        EXPECT_TRUE(contains(row_of("osmem", result.output), "not preloaded")) << result.output;
        EXPECT_TRUE(contains(result.output, "warning: osmem was not loaded")) << result.output;
    }
}

TEST(Compare, WarnsWhenAWrapperDropsThePreload) {
    const ShellResult result = shell(COMPARE + "-- env -u LD_PRELOAD " + PROGRAM + "sleep 1");
    EXPECT_EQ(result.status, 1);
    EXPECT_TRUE(contains(result.output, "warning: osmem was not loaded")) << result.output;
}

TEST(Compare, MarksAnAllocatorThatCrashes) {
    const ShellResult result =
        shell(COMPARE + "--also boom=" + CRASHING + " -- " + PROGRAM + "hold 1");
    EXPECT_EQ(result.status, 1);
    EXPECT_TRUE(contains(row_of("boom", result.output), "CRASHED: SIGSEGV")) << result.output;
    EXPECT_FALSE(contains(row_of("osmem", result.output), "CRASHED")) << result.output;
    EXPECT_FALSE(contains(row_of("boom", result.output), "*")) << result.output;
}

TEST(Compare, KeepsTheRunsThatCrashed) {
    const JsonResult result =
        compare_to_json("--also boom=" + CRASHING + " -- " + PROGRAM + "hold 1");
    const Json &boom = result.allocator("boom");
    ASSERT_EQ(boom["runs"].size(), 2u);
    EXPECT_EQ(boom["runs"][1]["end"], "killed");
    EXPECT_EQ(boom["runs"][1]["signal"], SIGSEGV);
    EXPECT_TRUE(boom["median"]["wall_s"].is_null());
}

TEST(Compare, MarksARunThatTakesTooLong) {
    const ShellResult result =
        shell(COMPARE + "--warmup 0 --timeout 0.2 -- " + PROGRAM + "sleep 60");
    EXPECT_EQ(result.status, 1);
    EXPECT_TRUE(contains(row_of("glibc", result.output), "TIMED OUT")) << result.output;
    EXPECT_TRUE(contains(row_of("osmem", result.output), "TIMED OUT")) << result.output;
}

TEST(Compare, KillsWhatDoesNotEndWhenAsked) {
    const ShellResult result = shell(COMPARE + "--warmup 0 --timeout 0.2 -- " +
                                     "sh -c 'trap \"\" TERM; while :; do sleep 0.1; done'");
    EXPECT_TRUE(contains(row_of("osmem", result.output), "TIMED OUT")) << result.output;
}

TEST(Compare, TakesTheExitStatusUnderGlibcAsTheRightOne) {
    const ShellResult same = shell(COMPARE + "-- " + PROGRAM + "exit 3");
    EXPECT_EQ(same.status, 0) << same.output;
    EXPECT_TRUE(contains(same.output, "the exit status under glibc is 3")) << same.output;
    const ShellResult other =
        shell("unset LD_PRELOAD; " + COMPARE + "-- sh -c 'test -z $LD_PRELOAD'");
    EXPECT_EQ(other.status, 1);
    EXPECT_TRUE(contains(row_of("osmem", other.output), "EXIT STATUS 1, not 0")) << other.output;
}

TEST(Compare, MarksOutputThatDiffers) {
    const ShellResult result = shell(COMPARE + "-- " + PROGRAM + "environment LD_PRELOAD");
    EXPECT_EQ(result.status, 1);
    EXPECT_TRUE(contains(row_of("osmem", result.output), "OUTPUT DIFFERS")) << result.output;
}

TEST(Compare, DoesNotCompareOutputThatIsNeverTheSame) {
    const ShellResult result = shell(COMPARE + "-- sh -c 'echo $$'");
    EXPECT_EQ(result.status, 0);
    EXPECT_FALSE(contains(result.output, "DIFFERS")) << result.output;
    EXPECT_TRUE(contains(result.output, "not the same in each run")) << result.output;
}

TEST(Compare, RepeatsWhatAFailedRunSaid) {
    const ShellResult result =
        shell("unset LD_PRELOAD; " + COMPARE +
              "-- sh -c 'test -z $LD_PRELOAD || { echo oh; echo no; exit 9; } >&2'");
    EXPECT_TRUE(contains(result.output, "osmem said: no\n")) << result.output;
}

TEST(Compare, ShowsTheFirstOutputOnlyIfAsked) {
    EXPECT_FALSE(contains(shell(COMPARE + "-- " + PROGRAM + "print hello").output, "\nhello\n"));
    const std::string shown = shell(COMPARE + "--show-output -- " + PROGRAM + "print hello").output;
    EXPECT_EQ(shown.compare(0, 6, "hello\n"), 0) << shown;
    EXPECT_FALSE(contains(shown.substr(5), "\nhello\n")) << shown;
}

TEST(Compare, TakesInALotOfOutput) {
    const JsonResult result = compare_to_json("-- head -c 10000000 /dev/zero");
    EXPECT_EQ(result.shell.status, 0);
    EXPECT_EQ(result.allocator("osmem")["runs"][1]["output_bytes"], 10000000);
}

TEST(Compare, GivesEachRunTheSameInput) {
    const std::string file = scratch_file("input");
    file_write(file, "one line\n");
    const JsonResult result = compare_to_json("-- cat <'" + file + "'");
    for (const std::string name : {"glibc", "osmem"})
        for (const Json &run : result.allocator(name)["runs"])
            EXPECT_EQ(run["output_bytes"], 9) << name;
    const JsonResult piped = compare_to_json("-- cat </dev/null");
    EXPECT_EQ(piped.allocator("osmem")["runs"][1]["output_bytes"], 0);
}

TEST(Compare, ReportsAMissingProgram) {
    const ShellResult result = shell(COMPARE + "-- test/tools/no-such-program");
    EXPECT_EQ(result.status, 127);
    EXPECT_EQ(result.output, "");
    EXPECT_TRUE(contains(result.error, "no-such-program: No such file")) << result.error;
    EXPECT_EQ(shell(COMPARE + "-- /etc/passwd").status, 126);
}

TEST(Compare, PrintsWhatThereIsWhenInterrupted) {
    const std::string file = scratch_file("interrupted");
    const std::string mark = scratch_file("started");
    // The first run is short, the second waits to be interrupted.
    const pid_t process =
        shell_start(COMPARE + "--warmup 0 -- sh -c 'test -z $LD_PRELOAD || { : >" + mark +
                        "; exec sleep 60; }'",
                    file);
    while (access(mark.c_str(), F_OK) != 0)
        usleep(10 * 1000);
    kill(process, SIGINT);
    int status;
    ASSERT_EQ(waitpid(process, &status, 0), process);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 130);
    const std::string output = file_contents(file);
    EXPECT_TRUE(contains(row_of("glibc", output), "1.000")) << output;
    EXPECT_TRUE(contains(row_of("osmem", output), "interrupted")) << output;
}

TEST(Compare, ListsTheAllocatorsFound) {
    const ShellResult result =
        shell(TOOL + "compare --list --allocators osmem --also passive=" + PASSIVE);
    EXPECT_EQ(result.status, 0);
    EXPECT_EQ(count_lines(result.output), 3u) << result.output;
    EXPECT_TRUE(contains(result.output, "\nosmem ")) << result.output;
    EXPECT_TRUE(contains(result.output, "/libosmem-malloc.so\n")) << result.output;
    EXPECT_TRUE(contains(result.output, "\npassive ")) << result.output;
}

} // namespace

} // namespace osmem
