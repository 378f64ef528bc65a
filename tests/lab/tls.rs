//! Certificates made by the `openssl` command.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::run_tool;
use super::scratch::{Folder, folder};
use super::setup::tool;

/// A CA with a server and a client certificate, and another CA that signed neither. All are PEM
/// files, keys PKCS#8 with mode 0600.
pub struct Tls {
    folder: Folder,
}

impl Tls {
    /// The server certificate is for `localhost` and 127.0.0.1, the client's for user `postgres`.
    pub fn make() -> Self {
        let folder = folder("tls");
        let dir = folder.path();
        authority(dir, "ca", "drctl lab CA");
        authority(dir, "other-ca", "another CA");
        signed(
            dir,
            "server",
            "localhost",
            "extendedKeyUsage=serverAuth\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n",
        );
        signed(dir, "client", "postgres", "extendedKeyUsage=clientAuth\n");
        Self { folder }
    }

    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    pub fn other_ca(&self) -> PathBuf {
        self.folder.join("other-ca.crt")
    }

    pub fn server_cert(&self) -> PathBuf {
        self.folder.join("server.crt")
    }

    pub fn server_key(&self) -> PathBuf {
        self.folder.join("server.key")
    }

    pub fn client_cert(&self) -> PathBuf {
        self.folder.join("client.crt")
    }

    pub fn client_key(&self) -> PathBuf {
        self.folder.join("client.key")
    }
}

fn openssl(dir: &Path) -> Command {
    let mut command = Command::new(tool("OPENSSL"));
    command.current_dir(dir);
    command
}

fn key(dir: &Path, name: &str) {
    let mut command = openssl(dir);
    command.args(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"]);
    run_tool(command.arg(format!("{name}.key")));
    super::scratch::set_mode(&dir.join(format!("{name}.key")), 0o600);
}

fn authority(dir: &Path, name: &str, subject: &str) {
    key(dir, name);
    let config = format!(
        "[req]\ndistinguished_name=dn\nx509_extensions=ext\nprompt=no\n[dn]\nCN={subject}\n[ext]\n\
         basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n\
         subjectKeyIdentifier=hash\n"
    );
    std::fs::write(dir.join(format!("{name}.cnf")), config).unwrap();
    let mut command = openssl(dir);
    command.args(["req", "-x509", "-new", "-sha256", "-days", "2"]);
    command.arg("-config").arg(format!("{name}.cnf")).arg("-key").arg(format!("{name}.key"));
    run_tool(command.arg("-out").arg(format!("{name}.crt")));
}

fn signed(dir: &Path, name: &str, subject: &str, extensions: &str) {
    key(dir, name);
    let mut request = openssl(dir);
    request.args(["req", "-new", "-sha256", "-subj", &format!("/CN={subject}")]);
    request.arg("-key").arg(format!("{name}.key")).arg("-out").arg(format!("{name}.csr"));
    run_tool(&mut request);
    std::fs::write(
        dir.join(format!("{name}.ext")),
        format!("basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\n{extensions}"),
    )
    .unwrap();
    let mut sign = openssl(dir);
    sign.args(["x509", "-req", "-sha256", "-days", "2", "-CA", "ca.crt", "-CAkey", "ca.key"]);
    sign.args(["-CAcreateserial", "-in", &format!("{name}.csr")]);
    sign.args(["-extfile", &format!("{name}.ext"), "-out", &format!("{name}.crt")]);
    run_tool(&mut sign);
}
