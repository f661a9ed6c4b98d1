//! What `cargo xtask help` prints.

pub(crate) const TEXT: &str = "\
cargo xtask run [OPTIONS]         build the image, make the bundle, start QEMU, say where it answers
    --linux                       the same application as a Linux process
    --xen                         as a guest of Xen, which runs in QEMU with a small dom0
    --hermit                      on the Hermit kernel, which is an experiment: docs/hermit.md
    --bundle DIR                  content and config (default: config/)
    --disk FILE                   a disk; without --bundle, the first is the bundle (port 80 in the guest)
    --machine microvm|microvm-pcie|q35   (default: microvm)
    --mem MIB                     memory of the guest (default: 256)
    --port PORT                   port on this machine (default: 8080)
    --tap                         attach to a TAP instead of user networking (root)
    --append WORDS                words for the kernel command line, as \"log=debug\"
    --accel kvm|tcg               (default: kvm where a guest really runs under it)
    --gdb                         wait for a debugger on port 1234
    --pcap FILE                   write every packet
    --group FILE                  several appliances that use each other's services: docs/groups.md;
                                  goes with --linux, --accel and --state DIR, where keys are kept
    --trace                       log=trace, and what the guest does wrong to target/xtask/trace.log
cargo xtask test [--long] [unit|boot|interop|xen] [FILTER]
                                  run every test, or a kind, or those whose name contains FILTER;
                                  those of the Hermit kernel, an experiment, only by `hermit`;
                                  with --long, more bytes and rounds where a test has a long form
cargo xtask bench [ROW...]        measure the appliance and Linux + nginx side by side
    --services LIST               ours is an image with these only (see `image`)
    --ours-only                   without Linux; goes with --machine microvm
cargo xtask bench xen             the same, as guests of one Xen
cargo xtask bench native          bulk TCP without a VM: our stack over a TAP, the kernel's over veth
cargo xtask bench loss [ROW...]   TCP with delay, loss and reordering: ours over a TAP, nginx over the kernel's
    --image                       ours is the image in QEMU, and not the process
    --control cubic|bbr           of both (default: cubic)
    --stalls                      100 downloads on each row, and how long nothing came
cargo xtask bench rpc             Cap'n Proto: ours, the capnp-rpc crate, the C++ library; what a call costs the server
cargo xtask bench tls             HTTPS: ours, nginx with OpenSSL, as processes and guests; what handshakes, requests and bytes cost the server
cargo xtask bench sessions        a counter for each visitor: ours, axum with tower-sessions
cargo xtask bench database        PostgreSQL: ours, tokio-postgres, libpq; what queries and rows cost the client, and a page while sessions wait
cargo xtask bench load            load generators: ours, wrk, h2load, ab; requests for their processor time, and a server that stops
cargo xtask bench shared          memory that two processes share beside TCP over loopback: bulk, round trips, RPC
    --guests qemu|xen             two guests of one host instead: by ivshmem or vchan beside TCP
    --ring-bytes N                [shared_memory] ring_bytes of both (with --guests)
cargo xtask bench hermit          the same application on the bare machine and on the Hermit kernel
cargo xtask bench pipe            ZeroMQ: ours, libzmq, the zeromq crate, what a message costs the server; pipelines
cargo xtask image                 build the bootable ELF; the last line printed is its path
    --services LIST               with these only, as http,rpc (default: all, http,https,fastcgi,gopher,rpc,vats,relay,rpc-websocket,zmq,admin,http-client,disk,syslog,vsock)
    --http-only                   the same as --services http: about half of the size
    --load                        the load generator, instead: docs/load.md
    --trial                       with routes for tests; never where others can reach it
    --hermit                      on the Hermit kernel, with its loader
cargo xtask bundle DIR --out FILE make a boot bundle
    --compress LIST               variants of what is text: gzip, brotli, zstd, or none (default: gzip)
    --disk                        as a disk's image, of whole blocks
cargo xtask capability --bundle DIR SERVICE HOST:PORT
                                  print the reference of a service, by the key of this bundle: docs/vats.md
    --out FILE                    write it to a file that only its owner reads
cargo xtask wasm                  build the example page of Cap'n Proto in a browser; the last line printed is a bundle's
                                  folder: docs/browser.md
cargo xtask codegen               remake the code generated from schemas
cargo xtask tidy                  check the shape of the tree: crate arrows, lengths, unsafe
cargo xtask fuzz [TARGET] [--seconds N]
                                  run fuzz targets

Every verb takes --no-install: say what is missing, install nothing.
";
