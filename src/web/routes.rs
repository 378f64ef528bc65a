//! The addresses: what is asked for, by whom, and what is answered.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::middleware::{self, Next};
use axum::routing::{get, post};
use futures_util::future::BoxFuture;

use super::access::{Access, Verdict};
use super::answers::{HTML, JSON, answer, line, policy, secured};
use super::intake::Intake;
use super::looking::Looker;
use super::page::{self, Shown};
use crate::error::{Kind, Result};
use crate::report::RunReport;

/// A form with a token in it.
const FORM_BYTES: usize = 4 << 10;
/// An alert: SNS sends 256 KiB at most, the others less.
const ALERT_BYTES: usize = 512 << 10;
/// What OpenMetrics asks for.
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The text of the metrics.
pub type Metrics = Box<dyn Fn() -> BoxFuture<'static, String> + Send + Sync>;
/// The report of a run by its id; none: there is no such run.
pub type Reports =
    Box<dyn Fn(String) -> BoxFuture<'static, Result<Option<RunReport>>> + Send + Sync>;

/// Everything that is served.
pub struct Site {
    pub access: Access,
    pub looker: Arc<Looker>,
    pub reports: Reports,
    /// None: nobody here measures.
    pub metrics: Option<Metrics>,
    /// None: no alerts are taken in.
    pub intake: Option<Arc<Intake>>,
}

pub fn router(site: Arc<Site>) -> Router {
    // Who may read is asked for in one place, so that no page can be without.
    let guarded = Router::new()
        .route("/", get(main_page))
        .route("/state.json", get(state))
        .route("/runs/{id}", get(run))
        .route("/metrics", get(metrics))
        .layer(middleware::from_fn_with_state(Arc::clone(&site), guard));
    let open = Router::new()
        .route("/healthz", get(health))
        .route("/login", post(login).layer(DefaultBodyLimit::max(FORM_BYTES)))
        .route("/intake/{name}", post(take).layer(DefaultBodyLimit::max(ALERT_BYTES)));
    guarded
        .merge(open)
        .fallback(|| async { line(StatusCode::NOT_FOUND, "there is nothing here") })
        .method_not_allowed_fallback(|| async {
            line(StatusCode::METHOD_NOT_ALLOWED, "this address is not asked so")
        })
        .layer(middleware::from_fn_with_state(Arc::clone(&site), finish))
        .with_state(site)
}

async fn finish(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response<Body> {
    secured(next.run(request).await, site.access.is_secure())
}

async fn guard(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response<Body> {
    match site.access.judge(request.headers(), site.looker.now()) {
        Verdict::Welcome => next.run(request).await,
        Verdict::ForeignHost => line(
            StatusCode::MISDIRECTED_REQUEST,
            "ask for 127.0.0.1 or localhost; another name is `public_url` in [web]",
        ),
        Verdict::NoToken => {
            let wants = request.headers().get(header::ACCEPT).and_then(|v| v.to_str().ok());
            let mut response = match wants.is_some_and(|wants| wants.contains("text/html")) {
                true => html(StatusCode::UNAUTHORIZED, page::login(false)),
                false => line(StatusCode::UNAUTHORIZED, "the token of [web] is asked for"),
            };
            let scheme = HeaderValue::from_static("Bearer realm=\"drctl\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
            response
        }
    }
}

fn html(status: StatusCode, text: String) -> Response<Body> {
    let mut response = answer(status, HTML, text);
    let policy = policy(&[page::STYLE]);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

async fn main_page(State(site): State<Arc<Site>>, RawQuery(query): RawQuery) -> Response<Body> {
    let still = query.is_some_and(|query| query.split('&').any(|q| q == "still" || q == "still="));
    match site.looker.look().await {
        Ok(view) => {
            let age = (site.looker.now() - view.at()).as_seconds_f64().max(0.0);
            html(StatusCode::OK, page::page(&view, Shown { age, still }))
        }
        Err(e) => html(StatusCode::SERVICE_UNAVAILABLE, page::nothing(&e.one_line())),
    }
}

async fn state(State(site): State<Arc<Site>>) -> Response<Body> {
    let seen = site.looker.look().await.map(|view| serde_json::to_string(&*view));
    match seen {
        Ok(Ok(text)) => answer(StatusCode::OK, JSON, text),
        Ok(Err(_)) => line(StatusCode::INTERNAL_SERVER_ERROR, "the state cannot be written"),
        Err(e) => {
            let text = serde_json::json!({ "error": e.one_line() }).to_string();
            answer(StatusCode::SERVICE_UNAVAILABLE, JSON, text)
        }
    }
}

async fn run(State(site): State<Arc<Site>>, Path(id): Path<String>) -> Response<Body> {
    match (site.reports)(id).await {
        Ok(None) => line(StatusCode::NOT_FOUND, "there is no such run"),
        Err(e) if e.kind() == Kind::Usage => line(StatusCode::NOT_FOUND, "there is no such run"),
        Err(e) => html(StatusCode::SERVICE_UNAVAILABLE, page::nothing(&e.one_line())),
        Ok(Some(report)) => {
            let text = crate::report::html(&report);
            let mut response = answer(StatusCode::OK, HTML, text);
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_SECURITY_POLICY, policy(&[crate::report::STYLE]));
            if report.ending.is_none() {
                headers.insert("refresh", HeaderValue::from_static("5"));
            }
            response
        }
    }
}

async fn metrics(State(site): State<Arc<Site>>) -> Response<Body> {
    match &site.metrics {
        Some(metrics) => answer(StatusCode::OK, METRICS, metrics().await),
        None => line(StatusCode::NOT_FOUND, "nobody measures here: `drctl runner` does"),
    }
}

/// That the process lives and answers; how the service stands is another question.
async fn health() -> Response<Body> {
    line(StatusCode::OK, "ok")
}

async fn login(State(site): State<Arc<Site>>, body: Bytes) -> Response<Body> {
    let mut fields = url::form_urlencoded::parse(&body);
    let given = fields.find(|(name, _)| name == "token").map(|(_, value)| value.into_owned());
    let cookie = given.and_then(|given| site.access.log_in(&given, site.looker.now()));
    let Some(cookie) = cookie.and_then(|cookie| HeaderValue::from_str(&cookie).ok()) else {
        return html(StatusCode::FORBIDDEN, page::login(true));
    };
    let mut response = line(StatusCode::SEE_OTHER, "see /");
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/"));
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}

/// Alerts prove themselves who they are from, each in its own way.
async fn take(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let Some(intake) = &site.intake else {
        return line(StatusCode::NOT_FOUND, "no alerts are taken in here");
    };
    let (status, text) = intake.take(&name, &headers, &body, site.looker.now()).await;
    line(status, &text)
}
