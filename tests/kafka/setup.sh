#!/bin/sh
# Downloads the Apache Kafka broker of the tests from Maven Central into target/kafka, once (about 55 MB).
# Debian: apt-get install maven openjdk-17-jre-headless
set -eu
here=$(cd "$(dirname "$0")" && pwd)
home=$here/../../target/kafka
stamp=$home/pom.xml
if cmp -s "$here/pom.xml" "$stamp" 2>/dev/null; then
    exit 0
fi
command -v mvn >/dev/null 2>&1 || { echo "no mvn here: apt-get install maven, or set PINFLOW_SKIP_KAFKA=1" >&2; exit 1; }
rm -rf "$home"
mkdir -p "$home"
mvn --quiet --batch-mode -f "$here/pom.xml" \
    org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$home/lib"
cp "$here/pom.xml" "$stamp"
