//! Who uses a stack: its command line, and administrators of tenants.
//!
//! Refuses to know what they want.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::{Stack, binary};
use crate::api::{Api, ClientFile};

/// The password of every tenant's administrator.
const PASSWORD: &str = "correct-horse";

impl Stack {
    /// Makes a tenant; the API as its administrator. Panics where that fails: it is a test's scene.
    pub async fn tenant(&self, domain: &str) -> Api {
        let body = json!({"tenantDomain": domain, "admin": "boss", "adminPassword": PASSWORD,
            "firstName": "B", "lastName": "Oss", "email": "boss@mail.test"});
        let made = self.api().post("/api/tenants", Some(&body)).await;
        made.expect("the tenant is made");
        let mut file = ClientFile::read(&self.client_file()).expect("the server wrote its file");
        file.user = Some(format!("boss@{domain}"));
        file.password = Some(PASSWORD.to_owned());
        file.token = None;
        Api::new(file).expect("the file is that of a client")
    }

    /// What the command line prints. Panics, with what it says, where it fails.
    pub fn cartridge(&self, arguments: &[&str]) -> String {
        let program = binary("cartridge").expect("built before the tests run");
        print_of(&program, arguments, &self.client_file())
    }
}

fn print_of(program: &Path, arguments: &[&str], client: &Path) -> String {
    let ran = Command::new(program)
        .args(arguments)
        .env("CARTRIDGE_CLIENT", client)
        .output()
        .expect("the program can be started");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).expect("it prints text")
}
