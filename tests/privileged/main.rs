//! smoke
#![allow(clippy::all, clippy::pedantic, clippy::disallowed_methods, missing_docs)]
use kiln::base::id::InstanceId;
use kiln::base::size::ByteSize;
use kiln::launch::*;
use std::time::Duration;
use tokio::io::AsyncReadExt;

#[tokio::test]
async fn smoke() {
    let (mut own, socket) =
        kiln::daemon::spawner::start(std::path::Path::new(env!("CARGO_BIN_EXE_kiln-spawner")), InstanceId::random())
            .unwrap();
    nix::fcntl::fcntl(&socket, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK)).unwrap();
    let launcher = client::connect(socket).await.unwrap();
    println!("{}", launcher.cgroups());
    let run = std::env::var("SMOKE").unwrap_or("id; cat /proc/self/status | grep -E 'Cap|NoNew|Secc'; ls -la / /work /dev /dev/fd/; cat /proc/self/mountinfo; hostname; ulimit -a; cat /proc/uptime; python3 -c 'print(1)'".into());
    let tree = launcher.make_tree(ByteSize::mib(16), 1000).await.unwrap();
    let s = launcher
        .start(SandboxRequest {
            label: [0; 64],
            image: Image::Host,
            program: Program {
                argv: vec![b"bash".to_vec(), b"-c".to_vec(), run.into_bytes()],
                env: vec![b"PATH=/usr/bin:/bin".to_vec()],
                cwd: b"/work".to_vec(),
            },
            files: vec![InputFile { path: "a/b.txt".into(), executable: false, content: b"hi".to_vec() }],
            stdin: b"in".to_vec(),
            work: &tree,
            limits: SandboxLimits {
                wall: Duration::from_secs(5),
                cpu_time: Duration::from_secs(2),
                milli_cpus: 1000,
                memory: ByteSize::mib(128),
                processes: 32,
                open_files: 64,
                file_size: ByteSize::mib(8),
                disk: ByteSize::mib(16),
                disk_inodes: 1000,
            },
        })
        .await;
    match s {
        Err(e) => println!("ERR {e}"),
        Ok(mut s) => {
            let (mut o, mut e) = (Vec::new(), Vec::new());
            let (a, b) = tokio::join!(s.stdout.read_to_end(&mut o), s.stderr.read_to_end(&mut e));
            a.unwrap();
            b.unwrap();
            println!("OUT {}\nERR {}", String::from_utf8_lossy(&o), String::from_utf8_lossy(&e));
            println!("setup {:?} {:?}", s.setup, s.end.wait().await);
        }
    }
    drop(tree);
    drop(launcher);
    drop(s_none());
    println!("{:?}", own.wait());
}
fn s_none() {}
