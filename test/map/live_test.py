"""Programs of the world, looked at while they work: redis-server under redis-benchmark, and cc1plus.

`osmem map --pid` and `osmem report --pid` look at them again and again; they must go on as if nothing were, and what is
told must agree: with each other, and with redis's own count of its memory. What is not installed is skipped.

Arguments: the osmem command.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

SOURCE = """
#include <map>
#include <regex>
#include <string>
#include <vector>
template <int N> struct deep { std::map<int, std::vector<std::string>> all[N]; deep<N - 1> next; };
template <> struct deep<0> {};
bool matches(const std::string &text) {
    static deep<40> kept;
    return std::regex_match(text, std::regex("[a-z]+(, [a-z]+)*")) && kept.all[0].empty();
}
"""


class Skipped(Exception):
    """What a case needs is not here."""


class Osmem:
    def __init__(self, tool):
        self.tool = os.path.abspath(tool)

    def start(self, command, folder):
        """`osmem run` becomes the program: one process, whose id is known."""
        return subprocess.Popen([self.tool, "run", "--"] + command, cwd=folder, stdout=subprocess.DEVNULL)

    def ask(self, *arguments):
        result = subprocess.run([self.tool] + list(arguments), capture_output=True, text=True, check=False)
        if "not permitted" in result.stderr:
            raise Skipped("ptrace is not allowed here")
        return result

    def look(self, process):
        """The numbers of the map and of the report, None when the process has ended or just begun."""
        drawn = self.ask("map", "--no-color", "--pid", str(process.pid))
        told = self.ask("report", "--json", "-", "--pid", str(process.pid))
        if drawn.returncode != 0 or told.returncode != 0:
            time.sleep(0.01)
            known = ("there is no process", "does not run on osmem", "has no memory", "has ended")
            errors = drawn.stderr + told.stderr
            assert process.poll() is not None or any(words in errors for words in known), errors
            return None
        numbers = {"report": json.loads(told.stdout)}
        for name, count in re.findall(r"^  (allocated|mapped|free|resident) +(\d+) bytes", drawn.stdout, re.MULTILINE):
            numbers[name] = int(count)
        assert numbers["report"]["recorded"] is False
        assert "osmem record -- " in told.stderr, told.stderr
        return numbers


def need(*tools):
    for tool in tools:
        if shutil.which(tool) is None:
            raise Skipped(f"{tool} is not installed")


def close(one, other, most):
    assert abs(one - other) <= most, f"{one} and {other} are further apart than {most}"


def redis(osmem, folder):
    need("redis-server", "redis-cli", "redis-benchmark")
    socket = os.path.join(folder, "socket")
    cli = ["redis-cli", "-s", socket]
    server = osmem.start(["redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--dir", folder,
                          "--daemonize", "no", "--logfile", "log"], folder)
    try:
        for _ in range(400):
            if subprocess.run(cli + ["ping"], capture_output=True, check=False).returncode == 0:
                break
            assert server.poll() is None, "redis-server has ended"
            time.sleep(0.05)
        load = subprocess.Popen(["redis-benchmark", "-s", socket, "-q", "-n", "20000", "-r", "20000", "-d", "100",
                                 "-c", "10", "-P", "8", "-t", "set,lpush,hset,sadd"], stdout=subprocess.DEVNULL)
        looks = []
        while load.poll() is None:
            looks.append(osmem.look(server))
            time.sleep(0.02)
        assert load.returncode == 0 and all(looks) and len(looks) >= 3, (load.returncode, looks)
        assert looks[-1]["allocated"] > looks[0]["allocated"]

        # Now that it rests: redis counts what it has allocated, in usable bytes.
        info = subprocess.run(cli + ["info", "memory"], capture_output=True, text=True, check=True).stdout
        used = int(re.search(r"used_memory:(\d+)", info).group(1))
        last = osmem.look(server)
        live = last["allocated"] + last["mapped"]
        print(f"redis: {len(looks)} looks; {live} bytes live, {used} by its own count, {last['resident']} resident")
        close(live, used, 1024 * 1024)
        report = last["report"]
        close(report["live"]["bytes"], last["allocated"], 64 * 1024)
        close(report["mapped"]["bytes"], last["mapped"], 64 * 1024)
        assert subprocess.run(cli + ["ping"], capture_output=True, check=True).stdout == b"PONG\n"
    finally:
        server.terminate()
    assert server.wait() == 0


def compiler(osmem, folder):
    need("g++")
    path = subprocess.run(["g++", "-print-prog-name=cc1plus"], capture_output=True, text=True, check=True).stdout.strip()
    with open(os.path.join(folder, "source.cc"), "w", encoding="utf-8") as file:
        file.write(SOURCE)
    subprocess.run(["g++", "-E", "source.cc", "-o", "source.ii"], cwd=folder, check=True)
    command = [path, "-quiet", "-O0", "-fpreprocessed", "source.ii", "-o"]
    subprocess.run(command + ["alone.s"], cwd=folder, check=True)
    process = osmem.start(command + ["seen.s"], folder)
    looks = []
    while process.poll() is None:
        looks.append(osmem.look(process))
        time.sleep(0.05)
    assert process.returncode == 0
    seen = [look for look in looks if look]
    assert len(seen) >= 3, looks
    print(f"cc1plus: {len(seen)} looks; {max(look['allocated'] for look in seen)} bytes live at most")
    assert max(look["allocated"] for look in seen) > 1024 * 1024
    with open(os.path.join(folder, "alone.s"), "rb") as one, open(os.path.join(folder, "seen.s"), "rb") as other:
        assert one.read() == other.read(), "another program came out"


def main():
    osmem = Osmem(sys.argv[1])
    for case in (redis, compiler):
        with tempfile.TemporaryDirectory(prefix="osmem", dir="/tmp") as folder:  # a socket's name is short
            try:
                case(osmem, folder)
            except Skipped as reason:
                print(f"{case.__name__}: skipped, {reason}")


main()
