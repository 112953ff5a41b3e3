#!/bin/bash
# git: many commits, branches, a merge, log with patches, packing, checking, cloning.
. "$(dirname "$0")/preload.sh"
need git
loads git --version

export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0
export GIT_AUTHOR_NAME=Author GIT_AUTHOR_EMAIL=author@example.org
export GIT_COMMITTER_NAME=Committer GIT_COMMITTER_EMAIL=committer@example.org
export GIT_AUTHOR_DATE="2020-01-01T00:00:00Z" GIT_COMMITTER_DATE="2020-01-01T00:00:00Z"

workload() {
    git -c init.defaultBranch=main init -q repository && cd repository || return 1
    mkdir folder
    local i j
    for i in $(seq 1 60); do
        for j in 1 2 3; do
            seq "$i" $((i * j + 200)) >"folder/file$((i % 7))$j"
        done
        git add . && git commit -q -m "commit number $i" || return 1
    done
    git checkout -q -b branch HEAD~20 && echo other >other && git add . && git commit -q -m other
    git checkout -q main && git merge -q -m merge branch || return 1
    git log -p --stat --all | cksum
    git blame folder/file11 | cksum
    git diff HEAD~40 | cksum
    git gc -q --aggressive --prune=now || return 1
    git fsck --strict --no-progress || return 1
    git rev-parse HEAD
    git clone -q --no-local . ../clone && git -C ../clone log --oneline --graph
    git archive --format=tar HEAD | cksum
    git grep -c 12 HEAD~5 -- folder
}
compare
