"""Workflows that ask over HTTP, in a module that the sandbox can load."""

from datetime import timedelta

from temporalio import workflow


@workflow.defn(name="AskOverHttp")
class AskOverHttp:
    @workflow.run
    async def run(self, url: str) -> str:
        workflow.logger.info("asking")
        return await workflow.execute_activity(
            "ask", url, start_to_close_timeout=timedelta(seconds=10), result_type=str
        )


@workflow.defn(name="AskTwice")
class AskTwice:
    def __init__(self) -> None:
        self.answers: list[str] = []
        self.go = False

    @workflow.run
    async def run(self, url: str) -> list[str]:
        self.answers.append(await self.ask(url))
        await workflow.wait_condition(lambda: self.go)
        return [*self.answers, await self.ask(url)]

    async def ask(self, url: str) -> str:
        return await workflow.execute_activity(
            "ask", url, start_to_close_timeout=timedelta(seconds=10), result_type=str
        )

    @workflow.update
    async def asked(self) -> None:
        await workflow.wait_condition(lambda: bool(self.answers))

    @workflow.signal
    def proceed(self) -> None:
        self.go = True
