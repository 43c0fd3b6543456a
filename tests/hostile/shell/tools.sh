# The programs that an escape by hand begins with.
export LC_ALL=C
refused() {
    wanted=$1; shift
    said=$("$@" 2>&1 </dev/null) && { echo "$* worked"; return; }
    grep -q "$wanted" <<<"$said" || echo "$*: $said"
}
refused 'must be superuser' mount -t tmpfs none /tmp
refused 'must be superuser' mount --bind / /work
refused 'must be superuser\|not permitted\|umount failed' umount /proc
refused 'not permitted' unshare -Ur id
refused 'not permitted' unshare -mr true
refused 'not permitted\|ermission denied' nsenter -t 1 -m true
refused 'not permitted' chroot / true
refused 'not permitted' pivot_root /work /tmp
refused 'not permitted\|Permission denied' mknod /tmp/disk b 8 0
refused 'not permitted\|o such file\|ermission denied' dd if=/dev/sda of=/dev/null count=1
refused 'ermission denied\|not permitted' dmesg
refused 'not permitted\|must be root\|annot' hostname other
refused 'not permitted\|ermission denied' setpriv --reuid 0 true
refused 'ermission denied\|not permitted' renice -n -5 $$
refused 'not permitted\|ermission denied' chrt -f 1 true
refused 'not permitted\|ermission denied' ionice -c 1 true
refused 'ermission denied\|Authentication\|from a terminal\|Critical error' su -c id
refused 'not permitted\|annot set' date -s 2000-01-01
echo done
