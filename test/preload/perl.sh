#!/bin/bash
# Perl: hashes, sorting, regular expressions, closures, fork.
. "$(dirname "$0")/preload.sh"
need perl
loads perl -e 1

workload() {
    PERL_HASH_SEED=0 PERL_PERTURB_KEYS=0 perl -e '
        use strict; use warnings;
        my $state = 1;
        sub number { $state = ($state * 1103515245 + 12345) % 2147483648; return $state % $_[0]; }
        my %words;
        for my $i (1 .. 300000) {
            my $word = join "", map { chr(97 + number(7)) } 1 .. 1 + number(6);
            push @{$words{$word}}, $i;
            delete $words{$word} if @{$words{$word}} > 40;
        }
        printf "%d words\n", scalar keys %words;
        for my $word ((sort { @{$words{$b}} <=> @{$words{$a}} || $a cmp $b } keys %words)[0 .. 999]) {
            print "$word ", scalar @{$words{$word}}, "\n";
        }
        my $text = join " ", sort keys %words;
        (my $changed = $text) =~ s/(\w)(\w+)\b/uc($1) . reverse($2)/ge;
        print length($changed), " ", unpack("%32C*", $changed), "\n";
        my @closures = map { my $n = $_; sub { $n += shift; return [ ($n) x 10 ] } } 1 .. 20000;
        my $sum = 0;
        $sum += $_->(3)->[9] for @closures;
        print "$sum\n";
        my $doubling = "x";
        $doubling .= $doubling for 1 .. 24;
        print length($doubling), "\n";
        for my $child (1 .. 8) {
            my $pid = open(my $pipe, "-|") // die;
            if (!$pid) { my @list = map { [ $_, "$_" x 10 ] } 1 .. 20000; print scalar @list, " $child\n"; exit 0; }
            print <$pipe>;
            close $pipe;
        }
    '
}
compare
