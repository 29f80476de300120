//! The HTTP API: Stratos's REST table at `/api` and `/api/v4.1`, what Stratos had no words for, and the dashboard.
//!
//! ```text
//! request -> guard (credentials, role, tenant) -> handler -> Authorized: Sight::submit / Sight::read -> answer
//! ```
//!
//! This file refuses to know what an order means.

mod applications;
pub(crate) mod body;
mod clusters;
mod domains;
mod dry_run;
pub mod figures;
mod kubernetes;
mod members;
mod mock;
pub mod openapi;
mod reach;
pub mod reply;
mod resources;
mod runtime;
mod server;
mod sharing;
mod show;
pub(crate) mod sign_ups;
mod stream;
pub mod telling;
mod tenants;
mod users;

pub use server::figures as server_figures;
pub(crate) use stream::{newest_events, sse};

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::MethodRouter;
use http::Method;

use crate::auth::{Api, Auth, Guard, guard, roles};
use crate::dashboard::{self, Dashboard};
use crate::engine::Engine;

/// Where the API is mounted.
const MOUNTS: [&str; 2] = ["/api", "/api/v4.1"];

/// All routes. Call it inside the runtime: the dashboard samples in the background until the router is dropped.
pub fn router(engine: Engine, auth: Auth) -> Router {
    auth.ask_of_tenants(&engine);
    let api = Api::new(engine.clone(), Dashboard::start(engine), auth);
    let mut routes = Routes::new(api.clone());
    mount(&mut routes);
    let router = routes.router.method_not_allowed_fallback(server::not_so);
    router.fallback(server::unknown).with_state(api)
}

fn mount(routes: &mut Routes) {
    use axum::routing::get;
    routes.outside(Method::GET, "/healthz", get(server::healthz));
    routes.outside(Method::GET, "/metrics", get(server::metrics));
    routes.outside(Method::GET, "/", get(dashboard::page));
    routes.outside(Method::GET, "/dashboard/app.js", get(dashboard::script));
    routes.outside(Method::GET, "/dashboard/style.css", get(dashboard::style));
    routes.outside(Method::GET, "/dashboard/stream", get(dashboard::stream));
    openapi::mount(routes);
    server::mount(routes);
    resources::mount(routes);
    kubernetes::mount(routes);
    applications::mount(routes);
    clusters::mount(routes);
    dry_run::mount(routes);
    tenants::mount(routes);
    sign_ups::mount(routes);
    domains::mount(routes);
    users::mount(routes);
    members::mount(routes);
    stream::mount(routes);
    sharing::mount(routes);
    mock::mount(routes);
}

/// Collects routes; each is guarded by the row that the roles' table has for it.
pub(crate) struct Routes {
    router: Router<Api>,
    api: Api,
    registered: Vec<(Method, String)>,
}

impl Routes {
    fn new(api: Api) -> Self {
        Self {
            router: Router::new(),
            api,
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
    pub(crate) fn outside(&mut self, method: Method, route: &str, handler: MethodRouter<Api>) {
        let guarded = self.guarded(&method, route, handler);
        let router = std::mem::take(&mut self.router);
        self.router = router.route(route, guarded);
    }

    fn guarded(&mut self, method: &Method, route: &str, handler: MethodRouter<Api>) -> MethodRouter<Api> {
        self.registered.push((method.clone(), route.to_owned()));
        let check = Guard {
            api: self.api.clone(),
            access: roles::access(method, route),
        };
        handler.route_layer(from_fn_with_state(check, guard))
    }
}

#[cfg(test)]
mod tests;
