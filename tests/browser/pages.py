"""What a person sees and does on each page. Run by run.py, which starts the daemon."""
import os
import shutil
import sys

from playwright.sync_api import expect, sync_playwright

SECONDS = 1000
expect.set_options(timeout=60 * SECONDS)


class Page:
    """A page that may ask its own server only, and must not complain."""

    def __init__(self, browser, base, path):
        self.faults = []
        self.page = browser.new_page(viewport={"width": 1200, "height": 1600})
        self.page.set_default_timeout(30 * SECONDS)
        self.page.on("console", lambda it: it.type == "error" and self.faults.append(f"console: {it.text}"))
        self.page.on("pageerror", lambda it: self.faults.append(f"error: {it}"))
        self.page.on("request", lambda it: self.judge(base, it.url))
        self.path = path
        self.page.goto(base + path)

    def judge(self, base, url):
        if not url.startswith((base, "data:", "blob:")):
            self.faults.append(f"asks another host: {url}")

    def close(self):
        if folder := os.environ.get("SCREENSHOTS"):
            self.page.screenshot(path=os.path.join(folder, self.path.strip("/") + ".png"), full_page=False)
        self.page.close()
        assert not self.faults, f"{self.path}: {self.faults}"


def swagger_runs_a_job(browser, base):
    it = Page(browser, base, "/docs")
    operation = it.page.locator("#operations-Execution-create_execution")
    operation.locator(".opblock-summary").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute", exact=True).click()
    answer = operation.locator(".live-responses-table .response").first
    expect(answer.locator(".response-col_status")).to_contain_text("200")
    expect(answer.locator("pre").first).to_contain_text("Hello, World!")
    it.close()


def redoc_shows_every_operation(browser, base):
    it = Page(browser, base, "/redoc")
    for heading in ["Run code", "Run uploaded files", "List own jobs", "Show what the installation can do"]:
        expect(it.page.get_by_role("heading", name=heading).first).to_be_attached()
    it.close()


def main(base):
    program = shutil.which("chromium") or sys.exit("browser: there is no chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        tests = [swagger_runs_a_job, redoc_shows_every_operation]
        for test in tests:
            test(browser, base)
            print(f"ok  {test.__name__}", flush=True)
        browser.close()
    print(f"browser: {len(tests)} passed")


if __name__ == "__main__":
    main(*sys.argv[1:])
