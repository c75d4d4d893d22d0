#!/bin/sh
# A MEC application in plain shell: from the registry of a MEC platform to the data of a device, with curl alone.
#
#   examples/discover_with_curl.sh http://127.0.0.1:8090 room:1
#
# All it is told is where the platform is and which label it is interested in. Which CSE there is, where and in which
# dialect, the registry says. The last line it prints is the newest value of the first container with that label.
# Set TOKEN to an access token of the platform where it asks for one (see: onemec mep app create), AE_ID to register
# under another AE-ID. Needs curl and jq.
set -eu

mep=${1:?"usage: $0 URL-of-the-MEC-platform [label]"}
label=${2:-}
ae_id=${AE_ID:-Ccurl-app}
say() { printf '%s\n' "$*" >&2; }
fail() { say "$0: $*"; exit 1; }

# --- Mp1: which services of category oneM2M-CSE are there? (MEC 011) ---------------------------------------------

set -- --silent --show-error --fail --max-time 10
[ -z "${TOKEN:-}" ] || set -- "$@" --header "Authorization: Bearer $TOKEN"
services=$(curl "$@" "$mep/mec_service_mgmt/v1/services?ser_category_id=oneM2M-CSE") || fail "no MEC platform at $mep"
cse=$(printf '%s' "$services" | jq --compact-output 'map(select(
  .state == "ACTIVE" and .transportInfo.type == "REST_HTTP" and .serializer == "JSON"))[0].transportInfo // empty')
[ -n "$cse" ] || fail "the platform knows no CSE that speaks HTTP and JSON"

base=$(printf '%s' "$cse" | jq --raw-output '.endpoint.uris[0]')                      # http://host:port/cse-name
name=$(printf '%s' "$cse" | jq --raw-output '.implSpecificInfo.onem2m.cseName')
release=$(printf '%s' "$cse" | jq --raw-output '.implSpecificInfo.onem2m.releases | map(select(test("^[23]"))) | last')
root=${base%"/$name"}
say "CSE $(printf '%s' "$cse" | jq --raw-output '.implSpecificInfo.onem2m.cseId') at $base, release $release"

# --- Mca: one request to the CSE (TS-0009) -------------------------------------------------------------------------

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
number=0

# onem2m METHOD PATH [curl options]: prints the body; $rsc is the response status code of oneM2M
onem2m() {
  method=$1 path=$2
  shift 2
  number=$((number + 1))
  curl --silent --show-error --max-time 10 --request "$method" "$root/$path" \
    --header "X-M2M-Origin: $ae_id" --header "X-M2M-RI: curl-$$-$number" --header "X-M2M-RVI: $release" \
    --header 'Accept: application/json' --dump-header "$work/headers" --output "$work/body" "$@" \
    || fail "the CSE at $root does not answer"
  rsc=$(tr -d '\r' < "$work/headers" | sed -n 's/^[Xx]-[Mm]2[Mm]-[Rr][Ss][Cc]: *//p')
}
refused() { fail "$1 was refused with $rsc: $(jq --raw-output '."m2m:dbg" // ""' "$work/body" 2> /dev/null)"; }

onem2m POST "$name" --header 'Content-Type: application/json;ty=2' --data \
  "{\"m2m:ae\": {\"rn\": \"${ae_id#?}\", \"api\": \"Norg.onemec.curl\", \"rr\": false, \"srv\": [\"$release\"]}}"
case $rsc in
  2001) say "registered as $ae_id" ;;
  4105 | 4117) say "registered as $ae_id already" ;;
  *) refused "the registration" ;;
esac

set -- --get --data 'fu=1' --data 'ty=3'                                              # discover containers
[ -z "$label" ] || set -- "$@" --data-urlencode "lbl=$label"
onem2m GET "$name" "$@"
[ "$rsc" = 2000 ] || refused "discovery"
container=$(jq --raw-output '."m2m:uril"[0] // empty' "$work/body")
[ -n "$container" ] || fail "the CSE has no container with the label '$label' that $ae_id may discover"
say "container $container"

onem2m GET "$container/la"
[ "$rsc" = 2000 ] || refused "reading $container/la"
jq --raw-output '."m2m:cin".con' "$work/body"
