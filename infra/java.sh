#!/usr/bin/env bash
# Make sure that Java 17 or 21 is there: Spark 4.1 runs on these.
set -euo pipefail

usable() {
    local java="${JAVA_HOME:+$JAVA_HOME/bin/}java"
    "$java" -version 2>&1 | grep -qE 'version "(17|21)[."]'
}
usable && exit 0
as_root=""
[ "$(id -u)" = 0 ] || as_root="sudo -n"
if command -v apt-get >/dev/null && { [ -z "$as_root" ] || $as_root true 2>/dev/null; }; then
    echo "installing a Java runtime with apt-get"
    $as_root apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq openjdk-17-jre-headless >/dev/null ||
        DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq openjdk-21-jre-headless >/dev/null
elif command -v dnf >/dev/null && { [ -z "$as_root" ] || $as_root true 2>/dev/null; }; then
    echo "installing a Java runtime with dnf"
    $as_root dnf install -y -q java-17-openjdk-headless || $as_root dnf install -y -q java-21-openjdk-headless
fi
usable || {
    echo "Java 17 or 21 is needed: install a JRE (Debian/Ubuntu: apt-get install openjdk-17-jre-headless, macOS: brew install openjdk@17) or set JAVA_HOME" >&2
    exit 1
}
