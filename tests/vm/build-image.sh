#!/bin/bash
# Builds the guest of the test bed, once: a Debian disk with systemd on pure cgroup v2, its kernel,
# and an initramfs of our own. Prints the folder that holds root.ext4, vmlinuz and initrd.cpio.gz.
#
#   build-image.sh [bookworm|trixie]
#
# Needs root and the packages of `packaging/deps.sh test`. An image is named by the hash of what made
# it (this script, the agent, the suite, the package list), so a change of any of them makes another;
# any folder below the cache may be deleted at any time.
# Not here: how the guest is started (vmbed.py), what is tested in it (guest.sh).
#
#   BUILD_CACHE                where images and downloaded packages are kept (/var/cache/kiln)
#   TEST_VM_MIRROR            Debian mirror (default: what the host's apt sources say)
#   TEST_VM_SECURITY_MIRROR   the same for the security suite
set -euo pipefail
umask 022

suite=${1:-bookworm}
here=$(cd "$(dirname "$0")" && pwd)
cache=${BUILD_CACHE:-/var/cache/kiln}/vm
disk_size=3G

packages=systemd,systemd-sysv,dbus,udev,kmod,busybox-static,python3,procps,strace,jq,curl
packages+=,ca-certificates,iproute2,nftables,iputils-ping,netcat-openbsd,openssh-server,uidmap
packages+=,libseccomp2,fuse3,e2fsprogs,erofs-utils,squashfs-tools,zstd

key=$(cat "$0" "$here/agent.py" <(echo "$suite $packages") | sha256sum | cut -c1-12)
out=$cache/$suite-$key
debs=$cache/debs-$suite

log() { printf 'image %4ss: %s\n' "$SECONDS" "$*" >&2; }
die() { echo "build-image.sh: $*" >&2; exit 1; }

# The host's own mirror of the Debian label $1.
mirror() {
  apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' |
    awk -v label="$1" '$1 == label && !found++ { print $2 }'
}

# Packages, unpacked and configured in $root; the kernel only downloaded, to /kernel.deb, because
# installing it would bring initramfs-tools and boot loader hooks.
#
# It runs in a mount namespace of its own, so that a killed build leaves no mounts behind. A hook
# must never remove anything below "$1"/dev, /proc or /sys: mmdebstrap has the host's /dev/shm and
# /dev/pts bind-mounted there. Of a hook's commands only the last one's status counts.
install_packages() {
  cat >"$work/fetch-kernel" <<'SH'
#!/bin/sh
exec chroot "$1" sh -ec '
  cd /var/cache/apt/archives
  name=$(apt-cache depends linux-image-cloud-amd64 |
    sed -n "s/.*Depends: \(linux-image-[0-9].*\)/\1/p" | head -n1)
  version=$(apt-cache show --no-all-versions "$name" | sed -n "s/^Version: //p")
  deb=${name}_${version}_amd64.deb
  [ -e "$deb" ] || apt-get -qq -o APT::Sandbox::User=root download "$name"
  cp "$deb" /kernel.deb'
SH
  chmod +x "$work/fetch-kernel"
  TMPDIR=$work unshare --mount mmdebstrap --quiet --variant=minbase \
    --include="$packages" --skip=essential/unlink \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/info/*' \
    --aptopt='Acquire::Languages "none"' \
    --aptopt='APT::Install-Recommends "false"' \
    --setup-hook='mkdir -p "$1"/var/cache/apt/archives' \
    --setup-hook="sync-in $debs /var/cache/apt/archives" \
    --customize-hook="$work/fetch-kernel" \
    --customize-hook="sync-out /var/cache/apt/archives $debs" \
    --customize-hook='rm -f "$1"/var/cache/apt/archives/*.deb' \
    "$suite" "$root" \
    "deb $mirror $suite main" "deb $security_mirror $suite-security main" >&2
}

# The kernel's image beside the disk, its modules on it; sets $kernel to its release name.
unpack_kernel() {
  local modules
  dpkg-deb -x "$root/kernel.deb" "$work/kernel"
  rm "$root/kernel.deb"
  cp "$work"/kernel/boot/vmlinuz-* "$out/vmlinuz"
  cp "$work"/kernel/boot/config-* "$out/config"
  modules=$(find "$work/kernel" -path '*/lib/modules/*' -prune -print -quit)
  kernel=$(basename "$modules")
  mkdir -p "$root/usr/lib/modules"
  mv "$modules" "$root/usr/lib/modules/"
  chroot "$root" depmod "$kernel"
}

# Busybox and the modules that reach a virtio disk on PCI: 1.2 MB, and seconds of boot less than
# Debian's own.
build_initramfs() {
  local tree=$work/initramfs module file
  mkdir -p "$tree"/{bin,dev,proc,sys,mnt,modules}
  cp "$root/bin/busybox" "$tree/bin/"
  for module in virtio_pci virtio_blk ext4; do
    chroot "$root" modprobe -S "$kernel" --show-depends "$module"
  done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
    case $file in
      *.xz) xz -dc "$root$file" >"$tree/modules/$(basename "$file" .xz)" ;;
      *) cp "$root$file" "$tree/modules/" ;;
    esac
    basename "$file" .xz >>"$tree/order"
  done
  cat >"$tree/init" <<'SH'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev
$b mount -t sysfs sys /sys
while read -r module; do $b insmod "/modules/$module"; done </order
i=0
while [ ! -b /dev/vda ] && [ $i -lt 500 ]; do $b usleep 20000; i=$((i + 1)); done
$b mount -t ext4 -o rw,noatime /dev/vda /mnt || { echo "initramfs: no root disk"; exit 1; }
$b mount --move /dev /mnt/dev
$b umount /proc /sys
exec $b switch_root /mnt /sbin/init
SH
  chmod +x "$tree/init"
  (cd "$tree" && find . -print0 | LC_ALL=C sort -z | cpio --quiet -0 -o -H newc | gzip -1) \
    >"$out/initrd.cpio.gz"
}

# The two units of the bed: the agent on the virtio-serial port, and qemu's user-mode network.
install_units() {
  local units=$root/etc/systemd/system
  mkdir -p "$units/multi-user.target.wants"
  install -m755 "$here/agent.py" "$root/usr/local/sbin/vmbed-agent"
  cat >"$units/vmbed-agent.service" <<'UNIT'
[Unit]
Description=Test bed agent on the virtio-serial port
After=basic.target
[Service]
ExecStart=/usr/local/sbin/vmbed-agent
Restart=always
RestartSec=1
KillMode=process
Delegate=yes
TasksMax=infinity
OOMScoreAdjust=-900
UNIT
  cat >"$units/vmbed-net.service" <<'UNIT'
[Unit]
Description=Test bed network (qemu user mode)
DefaultDependencies=no
After=systemd-modules-load.service
Before=network.target
Wants=network.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -ec 'ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2'
UNIT
  rm -f "$units"/multi-user.target.wants/{ssh,systemd-networkd}.service "$units/sshd.service"
  # ssh.socket: the server starts when it is asked for.
  ln -s ../vmbed-agent.service ../vmbed-net.service /lib/systemd/system/ssh.socket \
    "$units/multi-user.target.wants/"
}

# What a test guest does without: timers, getty, cold plug (its modules are listed by name), the
# journal on disk, seeds, first-boot work. This is most of the difference of 62 s to 18 s of boot.
mask_units() {
  local units=$root/etc/systemd/system unit
  for unit in apt-daily{,-upgrade}.timer dpkg-db-backup.timer fstrim.timer \
    e2scrub_all.timer e2scrub_reap.service getty@tty1.service serial-getty@ttyS0.service \
    dev-hugepages.mount sys-kernel-{debug,tracing,config}.mount kmod-static-nodes.service \
    modprobe@{drm,efi_pstore,dm_mod,loop,configfs}.service proc-sys-fs-binfmt_misc.automount \
    systemd-{timesyncd,pstore,networkd,networkd-wait-online,update-utmp}.service \
    systemd-{update-utmp-runlevel,journal-catalog-update,journal-flush,hwdb-update}.service \
    systemd-{udev-trigger,udev-settle,binfmt,random-seed,remount-fs,sysusers}.service \
    systemd-boot-system-token.service; do
    ln -sf /dev/null "$units/$unit"
  done
  touch "$root/etc/.updated" "$root/var/.updated"
}

configure_guest() {
  local etc=$root/etc
  mkdir -p "$etc"/systemd/{journald.conf.d,system.conf.d} "$root"/{root/.ssh,share,out}
  printf '%s\n' virtio_console virtio_net virtio_rng loop fuse overlay \
    >"$etc/modules-load.d/vmbed.conf"
  printf '[Journal]\nStorage=volatile\n' >"$etc/systemd/journald.conf.d/vmbed.conf"
  printf '[Manager]\nDefaultCPUAccounting=yes\nDefaultTimeoutStopSec=30s\n' \
    >"$etc/systemd/system.conf.d/vmbed.conf"
  echo vmbed >"$etc/hostname"
  echo '127.0.0.1 localhost vmbed' >"$etc/hosts"
  echo 'nameserver 10.0.2.3' >"$etc/resolv.conf"
  echo 00000000000000000000000000000001 >"$etc/machine-id"
  # A last change of 0 would mean "expired", and ssh would refuse.
  sed -i 's/^root:.*/root::19000:0:99999:7:::/' "$etc/shadow"
}

# A throwaway key for this image alone, for `vmbed.py run --ssh`.
configure_ssh() {
  rm -f "$root"/etc/ssh/ssh_host_{rsa,ecdsa}_key*
  printf '%s\n' 'PermitRootLogin prohibit-password' 'UseDNS no' \
    'HostKey /etc/ssh/ssh_host_ed25519_key' >"$root/etc/ssh/sshd_config.d/vmbed.conf"
  chroot "$root" ssh-keygen -q -t ed25519 -N '' -C vmbed -f /root/.ssh/id
  mv "$root/root/.ssh/id" "$out/id"
  mv "$root/root/.ssh/id.pub" "$root/root/.ssh/authorized_keys"
  chmod 700 "$root/root/.ssh"
}

make_disk() {
  rm -f "$out"/root.ext4 "$out"/state-*
  truncate -s "$disk_size" "$out/root.ext4"
  mke2fs -q -t ext4 -L root -O ^has_journal,^metadata_csum -E lazy_itable_init=1,nodiscard -m 0 \
    -d "$root" "$out/root.ext4"
}

# Images that nobody has used for two weeks; each takes 0.9 GB.
forget_old_images() {
  local old
  find "$cache" -mindepth 2 -maxdepth 2 -name .done -mtime +14 | while read -r old; do
    rm -rf --one-file-system "$(dirname "$old")"
  done
}

if [ -e "$out/.done" ]; then
  touch "$out/.done" 2>/dev/null || true # used: see forget_old_images
  echo "$out"
  exit 0
fi
[ "$(id -u)" = 0 ] || die "building an image needs root"
for tool in mmdebstrap mke2fs cpio xz; do
  command -v "$tool" >/dev/null || die "$tool is missing: run packaging/deps.sh test"
done
mirror=${TEST_VM_MIRROR:-$(mirror Debian)}
[ -n "$mirror" ] ||
  die "no Debian mirror in the apt sources (apt-get update first), and no TEST_VM_MIRROR"
security_mirror=${TEST_VM_SECURITY_MIRROR:-$(mirror Debian-Security)}
security_mirror=${security_mirror:-${mirror%/}-security}

mkdir -p "$out" "$debs"
exec 9>"$cache/lock"
flock 9
if [ -e "$out/.done" ]; then # built while we waited for the lock
  echo "$out"
  exit 0
fi
rm -rf --one-file-system "$cache"/build.* # of a killed build: nobody else has the lock
work=$(mktemp -d "$cache/build.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
forget_old_images
root=$work/root

log "packages of $suite"
install_packages
log "kernel and initramfs"
unpack_kernel
build_initramfs
log "configuration"
install_units
mask_units
configure_guest
configure_ssh
log "disk"
make_disk
touch "$out/.done"
log "done: $kernel, $(du -m "$out/root.ext4" | cut -f1) MiB"
echo "$out"
