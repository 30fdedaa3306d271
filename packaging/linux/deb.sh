#!/bin/sh
# A Debian package of the one-file program: dist/brimline_<version>_<architecture>.deb
#
#     make binary && sh packaging/linux/deb.sh
#
# Repeatable: the same binary and SOURCE_DATE_EPOCH give the same package.
set -eu
cd "$(dirname "$0")/../.."
umask 022

[ -x dist/brimline ] || { echo "dist/brimline is not there. Run: make binary" >&2; exit 1; }
command -v dpkg-deb >/dev/null || { echo "dpkg-deb is missing: apt install dpkg" >&2; exit 1; }

version=$(dist/brimline version | cut -d' ' -f2)
architecture=$(dpkg --print-architecture)
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || echo 315532800)}"
export SOURCE_DATE_EPOCH
root=build/deb
rm -rf "$root"

put() { # put MODE FILE PLACE
    install -D -m "$1" "$2" "$root/$3"
}
put 755 dist/brimline usr/bin/brimline
put 644 packaging/linux/brimline.desktop usr/share/applications/brimline.desktop
put 644 packaging/linux/dev.brimline.Brimline.metainfo.xml usr/share/metainfo/dev.brimline.Brimline.metainfo.xml
put 644 packaging/linux/brimline.service usr/lib/systemd/user/brimline.service
put 644 icons/brimline.svg usr/share/icons/hicolor/scalable/apps/brimline.svg
put 644 LICENSE usr/share/doc/brimline/copyright
put 644 CHANGELOG.md usr/share/doc/brimline/NEWS.md
gzip -9n "$root/usr/share/doc/brimline/NEWS.md"
put 644 packaging/linux/brimline.1 usr/share/man/man1/brimline.1
gzip -9n "$root/usr/share/man/man1/brimline.1"
put 644 packaging/skill/SKILL.md usr/share/brimline/skill/SKILL.md
put 644 packaging/skill/agents/openai.yaml usr/share/brimline/skill/agents/openai.yaml

changelog=$root/usr/share/doc/brimline/changelog
cat > "$changelog" <<END
brimline ($version) unstable; urgency=medium

  * What is new stands in NEWS.md.gz beside this file.

 -- The Brimline maintainers <maintainers@brimline.invalid>  $(date --utc --rfc-email --date="@$SOURCE_DATE_EPOCH")
END
chmod 644 "$changelog"
gzip -9n "$changelog"

mkdir -p "$root/DEBIAN"
cat > "$root/DEBIAN/control" <<END
Package: brimline
Version: $version
Architecture: $architecture
Maintainer: The Brimline maintainers <maintainers@brimline.invalid>
Installed-Size: $(du -sk --apparent-size "$root/usr" | cut -f1)
Depends: libc6 (>= $(getconf GNU_LIBC_VERSION | cut -d' ' -f2))
Recommends: gir1.2-ayatanaappindicator3-0.1, gir1.2-webkit2-4.1, xdg-utils
Suggests: gnome-shell-extension-appindicator
Section: devel
Priority: optional
Description: Codex allowance across all your ChatGPT accounts
 Brimline shows at a glance how much Codex allowance is left across all your
 ChatGPT accounts, spreads the work over them through a local proxy, and
 explains where every token went.
 .
 The recommended packages are for the tray icon and the window. Without them
 it serves, and its pages open in the browser.
END
find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zxz --build "$root" "dist/brimline_${version}_${architecture}.deb"
