#!/bin/bash
# xmllint: parsing, formatting, XPath and validation of a document of some megabytes.
. "$(dirname "$0")/preload.sh"
need xmllint
loads xmllint --version

workload() {
    awk 'BEGIN {
        print "<?xml version=\"1.0\"?>\n<!DOCTYPE list [<!ELEMENT list (item*)>\n<!ELEMENT item (name, text*)>"
        print "<!ATTLIST item id CDATA #REQUIRED kind CDATA #IMPLIED>\n<!ELEMENT name (#PCDATA)>\n<!ELEMENT text (#PCDATA)>]>\n<list>"
        for (i = 0; i < 60000; i++) {
            printf "<item id=\"%d\" kind=\"k%d\"><name>name &amp; number %d</name>", i, i % 13, i * 7919 % 10007
            for (j = 0; j < i % 4; j++)
                printf "<text>%s</text>", substr("some text that varies in its length", 1, (i + j) % 35)
            print "</item>"
        }
        print "</list>"
    }' >large.xml
    xmllint --valid --noout large.xml || return 1
    xmllint --format large.xml | cksum
    xmllint --c14n large.xml | cksum
    xmllint --xpath 'count(//item[@kind="k3"]/text)' large.xml
    xmllint --xpath '//item[position() mod 6000 = 1]' large.xml
    xmllint --stream --noout large.xml
    xmllint --push --noent --noout large.xml
}
compare
