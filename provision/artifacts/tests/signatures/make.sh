#!/bin/sh
# Makes the files in this folder anew, with keys that are thrown away (needs gpg and minisign 0.11).
set -eu
cd "$(dirname "$0")"
home=$(mktemp -d)
trap 'gpgconf --homedir "$home" --kill all; rm -rf "$home"' EXIT
gpg() { command gpg --homedir "$home" --batch --quiet --no-tty --yes --passphrase '' --pinentry-mode loopback "$@"; }
key() { gpg "$@" 2>/dev/null; }
print() { gpg --with-colons --list-keys "$1" | awk -F: '/^fpr/ { print $10; exit }'; }
printf 'an archive\n' >data
key --quick-gen-key 'RSA <rsa@example.org>' rsa2048 sign never
key --quick-gen-key 'Ed25519 <ed@example.org>' ed25519 sign never
key --quick-gen-key 'Subkey <sub@example.org>' ed25519 cert never
key --quick-add-key "$(print sub@example.org)" ed25519 sign never
key --faked-system-time 20200101T000000! --quick-gen-key 'Expired <old@example.org>' ed25519 sign 2020-06-01
key --quick-gen-key 'Revoked <revoked@example.org>' ed25519 sign never
for name in rsa ed sub revoked; do
    gpg --local-user "$name@example.org" --armor --output "$name.asc" --detach-sign data
done
gpg --faked-system-time 20200201T000000! --local-user old@example.org --armor --output old.asc --detach-sign data
gpg --local-user rsa@example.org --digest-algo SHA1 --armor --output sha1.asc --detach-sign data
gpg --local-user rsa@example.org --output rsa.sig --detach-sign data
gpg --local-user rsa@example.org --armor --output message.asc --sign data
revoked=$(print revoked@example.org)
sed 's/^:---/---/' "$home/openpgp-revocs.d/$revoked.rev" | gpg --import 2>/dev/null
# As Apache's KEYS: words, then a block, several times.
for name in old rsa ed sub revoked; do
    gpg --list-keys "$name@example.org" 2>/dev/null | sed -n '/^pub/,$p'
    gpg --armor --export "$name@example.org"
    echo
done >KEYS
gpg --export rsa@example.org >rsa.gpg
for name in rsa ed sub old revoked; do echo "$name $(print "$name@example.org")"; done >fingerprints
minisign -G -W -f -p minisign.pub -s "$home/minisign.key" >/dev/null
minisign -S -s "$home/minisign.key" -m data -x data.minisig -t 'file:data version:1' -c 'untrusted comment: a test' >/dev/null
# A release: signed itself, and its list of digests.
mkdir -p "$home/tool-1.1/bin"
printf '#!/bin/sh\necho tool\n' >"$home/tool-1.1/bin/tool"
tar --create --directory "$home" --format ustar --owner 0 --group 0 --mtime @0 tool-1.1 | gzip -n >tool-1.1.tar.gz
sha256sum tool-1.1.tar.gz >SHA256SUMS
gpg --local-user sub@example.org --armor --output tool-1.1.tar.gz.asc --detach-sign tool-1.1.tar.gz
gpg --local-user rsa@example.org --output SHA256SUMS.sig --detach-sign SHA256SUMS
minisign -S -s "$home/minisign.key" -m tool-1.1.tar.gz -x tool-1.1.tar.gz.minisig -t 'tool 1.1' >/dev/null
minisign -S -l -s "$home/minisign.key" -m data -x legacy.minisig >/dev/null
minisign -G -W -f -p other.pub -s "$home/other.key" >/dev/null
