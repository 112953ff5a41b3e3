#!/bin/bash
# openssl: digests, encryption, keys, certificates and signatures.
. "$(dirname "$0")/preload.sh"
need openssl
loads openssl version

# All that is random stays in files; printed is what has to be the same.
workload() {
    head -c 5000000 /dev/zero >zero
    openssl dgst -sha256 -sha512 zero
    local cipher
    for cipher in aes-256-cbc aes-128-ctr chacha20 camellia-192-cfb; do
        openssl enc -"$cipher" -K 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff \
            -iv 0102030405060708090a0b0c0d0e0f10 -in zero -out "$cipher" 2>/dev/null
        echo "$cipher $? $(cksum <"$cipher")"
    done
    openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa 2>/dev/null || return 1
    openssl ecparam -name prime256v1 -genkey -noout -out ec || return 1
    openssl pkey -in rsa -check -noout
    local key
    for key in rsa ec; do
        openssl req -x509 -new -key $key -subj "/CN=example.org/O=Test" -days 10 -out $key.crt \
            -config <(printf '[req]\ndistinguished_name=d\nx509_extensions=e\n[d]\n[e]\nbasicConstraints=CA:TRUE\n') ||
            return 1
        openssl x509 -in $key.crt -noout -subject
        openssl verify -CAfile $key.crt $key.crt
        openssl dgst -sha256 -sign $key -out $key.sig zero
        openssl dgst -sha256 -verify <(openssl pkey -in $key -pubout) -signature $key.sig zero
    done
    openssl pkcs12 -export -inkey rsa -in rsa.crt -passout pass:x -out p12 &&
        openssl pkcs12 -in p12 -passin pass:x -nodes 2>/dev/null | grep -c BEGIN
    openssl prime -hex 10000000000000000000000000000057
    openssl speed -seconds 1 -bytes 1000 sha256 >/dev/null 2>&1
    echo "speed $?"
}
compare
