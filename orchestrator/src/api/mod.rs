//! The HTTP API: Stratos's REST table at `/api` and `/api/v4.1`, what Stratos had no words for, and the dashboard.
//!
//! ```text
//! request -> guard (credentials, role of the route) -> handler -> Engine::submit / Engine::read -> answer
//! ```
//!
//! This file refuses to know what an order means.

mod applications;
mod body;
mod clusters;
mod dry_run;
pub mod figures;
mod members;
mod reach;
pub mod reply;
mod resources;
mod runtime;
mod server;
mod show;
mod stream;
pub mod telling;
mod users;

pub use server::figures as server_figures;
pub(crate) use stream::{newest_events, sse};

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::MethodRouter;
use http::Method;

use crate::auth::{Auth, Guard, guard, roles};
use crate::dashboard::{self, Dashboard};
use crate::engine::Engine;

/// Where the API is mounted.
const MOUNTS: [&str; 2] = ["/api", "/api/v4.1"];

/// What handlers share.
#[derive(Clone)]
pub struct Api {
    /// Orders in, facts out.
    pub engine: Engine,
    /// What the dashboard keeps.
    pub dashboard: Dashboard,
    /// Who may come in.
    pub auth: Auth,
}

/// All routes. Call it inside the runtime: the dashboard samples in the background until the router is dropped.
pub fn router(engine: Engine, auth: Auth) -> Router {
    let api = Api {
        dashboard: Dashboard::start(engine.clone()),
        engine,
        auth: auth.clone(),
    };
    let mut routes = Routes::new(auth);
    mount(&mut routes);
    routes.router.fallback(server::unknown).with_state(api)
}

fn mount(routes: &mut Routes) {
    use axum::routing::get;
    routes.outside(Method::GET, "/healthz", get(server::healthz));
    routes.outside(Method::GET, "/metrics", get(server::metrics));
    routes.outside(Method::GET, "/", get(dashboard::page));
    routes.outside(Method::GET, "/dashboard/app.js", get(dashboard::script));
    routes.outside(Method::GET, "/dashboard/style.css", get(dashboard::style));
    routes.outside(Method::GET, "/dashboard/stream", get(dashboard::stream));
    server::mount(routes);
    resources::mount(routes);
    applications::mount(routes);
    clusters::mount(routes);
    dry_run::mount(routes);
    users::mount(routes);
    members::mount(routes);
    stream::mount(routes);
}

/// Collects routes; each is guarded by the row that the roles' table has for it.
pub(crate) struct Routes {
    router: Router<Api>,
    auth: Auth,
    registered: Vec<(Method, String)>,
}

impl Routes {
    fn new(auth: Auth) -> Self {
        Self {
            router: Router::new(),
            auth,
            registered: Vec::new(),
        }
    }

    /// A route below `/api` and `/api/v4.1`.
    pub(crate) fn add(&mut self, method: Method, route: &str, handler: MethodRouter<Api>) {
        let guarded = self.guarded(&method, route, handler);
        for mount in MOUNTS {
            let router = std::mem::take(&mut self.router);
            self.router = router.route(&format!("{mount}{route}"), guarded.clone());
        }
    }

    /// A route of its own.
    fn outside(&mut self, method: Method, route: &str, handler: MethodRouter<Api>) {
        let guarded = self.guarded(&method, route, handler);
        let router = std::mem::take(&mut self.router);
        self.router = router.route(route, guarded);
    }

    fn guarded(&mut self, method: &Method, route: &str, handler: MethodRouter<Api>) -> MethodRouter<Api> {
        self.registered.push((method.clone(), route.to_owned()));
        let check = Guard {
            auth: self.auth.clone(),
            access: roles::access(method, route),
        };
        handler.route_layer(from_fn_with_state(check, guard))
    }
}

#[cfg(test)]
mod tests;
