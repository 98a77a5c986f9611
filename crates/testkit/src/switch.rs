//! A TCP address whose server can be exchanged, as a failover does it.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

/// Everything that connects to it is passed on to one socket.
#[derive(Debug)]
pub struct Switch {
    listen: SocketAddr,
    lines: Arc<Mutex<Lines>>,
}

#[derive(Debug)]
struct Lines {
    to: Option<PathBuf>,
    open: Vec<TcpStream>,
}

// === impl Switch ===

impl Switch {
    /// One that leads to the socket at this path.
    ///
    /// # Panics
    /// If no port is free.
    #[must_use]
    pub fn to(path: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let listen = listener.local_addr().expect("its address");
        let lines = Arc::new(Mutex::new(Lines { to: Some(path), open: Vec::new() }));
        let accepted = Arc::clone(&lines);
        drop(thread::spawn(move || {
            for near in listener.incoming().flatten() {
                if !connect(&accepted, &near) {
                    return;
                }
            }
        }));
        Self { listen, lines }
    }

    /// Where to connect.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Ends all connections; new ones lead to the socket at this path.
    pub fn lead_to(&self, path: PathBuf) {
        self.turn(Some(path));
    }

    fn turn(&self, to: Option<PathBuf>) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.to = to;
        for line in lines.open.drain(..) {
            // It may have ended by itself.
            drop(line.shutdown(Shutdown::Both));
        }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.turn(None);
        // Wakes the thread that accepts, which then ends.
        drop(TcpStream::connect(self.listen));
    }
}

/// Passes a connection on; false if there is nothing to pass on to any more.
fn connect(lines: &Mutex<Lines>, near: &TcpStream) -> bool {
    let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(to) = &lines.to else { return false };
    let Ok(far) = UnixStream::connect(to) else { return true };
    let (Ok(near_in), Ok(near_out), Ok(far_in)) =
        (near.try_clone(), near.try_clone(), far.try_clone())
    else {
        return true;
    };
    lines.open.extend(near.try_clone());
    drop(near.set_nodelay(true));
    let end = near.try_clone();
    drop(thread::spawn(move || {
        pass(near_in, &far);
        drop(far.shutdown(Shutdown::Both));
    }));
    drop(thread::spawn(move || {
        pass(far_in, &near_out);
        drop(end.map(|near| near.shutdown(Shutdown::Both)));
    }));
    true
}

/// Passes bytes one way until an end closes.
fn pass(mut from: impl Read, mut to: impl Write) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if to.write_all(buffer.get(..read).unwrap_or_default()).is_err() {
            return;
        }
    }
}
