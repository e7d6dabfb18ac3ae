"""Every sentence that a user may read, in Chinese and in English, by stable code.

Front ends match on the code; the Chinese sentences are the ones that they have always shown. A test proves that every
code that the core or a route can produce is listed here.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple

Locale = Literal["zh", "en"]


class Sentence(NamedTuple):
    """One thing to say, in both languages."""

    zh: str
    en: str

    def text(self, locale: Locale) -> str:
        """The sentence in one language."""
        return self.en if locale == "en" else self.zh


UNKNOWN = Sentence("请求被拒绝", "The request was refused")

CODES: Mapping[str, Sentence] = {
    # Requests as such.
    "VALIDATION_FAILED": Sentence("输入数据无效", "The input is not valid"),
    "UNAUTHORIZED": Sentence("未授权", "Sign in first"),
    "FORBIDDEN": Sentence("权限不足", "You are not allowed to do this"),
    "NOT_FOUND": Sentence("资源不存在", "There is no such thing"),
    "METHOD_NOT_ALLOWED": Sentence("不支持该请求方法", "This method is not allowed here"),
    "CONFLICT": Sentence("当前状态不允许该操作", "The current state does not allow this"),
    "PRECONDITION_FAILED": Sentence("内容已被修改，请刷新后重试", "This was changed meanwhile, read it again first"),
    "GONE": Sentence("资源已不可用", "This is no longer available"),
    "PAYLOAD_TOO_LARGE": Sentence("请求内容过大", "The request body is too large"),
    "UNSUPPORTED_MEDIA": Sentence("不支持的内容类型", "This content type is not supported"),
    "REQUEST_TIMEOUT": Sentence("请求接收超时", "The request took too long to arrive"),
    "RATE_LIMITED": Sentence("请求过于频繁，请稍后再试", "Too many requests, try again later"),
    "UNAVAILABLE": Sentence("服务暂时不可用，请稍后重试", "The service is unavailable for the moment, try again soon"),
    "INTERNAL": Sentence("服务器内部错误", "Something went wrong on our side"),
    "IDEMPOTENCY_KEY_REUSED": Sentence(
        "该幂等键已用于不同的请求", "This Idempotency-Key was used with another request"
    ),
    "IDEMPOTENCY_IN_PROGRESS": Sentence(
        "相同幂等键的请求正在处理中", "A request with this Idempotency-Key is still running"
    ),
    # Accounts.
    "USER_EXISTS": Sentence("用户已存在", "This user exists already"),
    "INVALID_CREDENTIALS": Sentence("用户名或密码错误", "Wrong username or password"),
    "WRONG_PASSWORD": Sentence("当前密码错误", "The current password is wrong"),
    "TOKEN_INVALID": Sentence("链接无效或已过期", "The link is invalid or has expired"),
    "EMAIL_UNVERIFIED": Sentence("请先验证邮箱", "Verify your e-mail address first"),
    "OWN_ACCOUNT": Sentence("不能修改自己的账户", "Someone else has to change your own account"),
    "KEY_NOT_FOUND": Sentence("API密钥不存在", "There is no such API key"),
    "KEY_ENDED": Sentence("该API密钥已吊销或已过期", "This API key was revoked or has expired"),
    "KEY_LIMIT": Sentence("API密钥数量已达上限", "You have as many API keys as are allowed"),
    "KEY_LIMIT_TOO_LOW": Sentence("额度低于该密钥已占用的积分", "The key has spent more than this limit already"),
    "KEY_CREDITS_EXHAUSTED": Sentence("该API密钥的积分额度不足", "This API key may not spend so many credits"),
    "KEY_NOT_ACCEPTED": Sentence("该接口不接受API密钥，请登录", "No API key is accepted here, sign in instead"),
    "SCOPE_MISSING": Sentence("该API密钥缺少所需权限", "This API key lacks the scope that this needs"),
    # Credits and purchases.
    "INSUFFICIENT_CREDITS": Sentence("积分不足", "Not enough credits"),
    "HOLD_RESOLVED": Sentence("该笔冻结积分已处理", "These credits were settled already"),
    "PRICE_ABOVE_MAX": Sentence("价格超过您设定的上限", "This may cost more than you want to pay at most"),
    "QUOTE_EXPIRED": Sentence("报价已过期，请重新获取", "The quote has expired, ask for another one"),
    "QUOTE_INVALID": Sentence("报价无效", "This is not a quote that was given to you"),
    "ALREADY_PURCHASED": Sentence("您已购买该Agent", "You have bought this agent already"),
    "NOT_PURCHASED": Sentence("您还未购买该Agent", "You have not bought this agent"),
    "PRICE_CHANGED": Sentence("价格已变动，请确认后重试", "The price has changed, confirm it and try again"),
    "OWN_AGENT": Sentence("不能购买自己的Agent", "This agent is your own, you need not buy it"),
    "AGENT_IS_FREE": Sentence("该Agent免费，无需购买", "This agent is free, there is nothing to buy"),
    "AGENT_IS_PAID_PER_USE": Sentence("该Agent按次计费，无需购买", "This agent is paid per use, you need not buy it"),
    "SUBSCRIPTION_TOO_LONG": Sentence("订阅最多可续至三年后", "A subscription can reach three years ahead at most"),
    "NOT_A_SUBSCRIPTION": Sentence("该Agent不按订阅出售", "This agent is not sold as a subscription"),
    "NOT_SUBSCRIBED": Sentence("您没有该Agent的有效订阅", "You have no subscription of this agent that runs"),
    "PACKAGE_NOT_FOUND": Sentence("套餐不存在", "There is no such package"),
    "PAYMENT_METHOD_UNSUPPORTED": Sentence("不支持的支付方式", "This payment method is not supported"),
    "AMOUNT_INVALID": Sentence("金额无效", "This is not an amount of money"),
    "GATEWAY_REFUSED": Sentence("支付渠道拒绝了该请求", "The payment gateway refused this request"),
    "GATEWAY_UNKNOWN": Sentence("支付渠道暂时没有答复", "The payment gateway gave no answer for the moment"),
    "NOTICE_FORGED": Sentence("通知签名无效", "This notice was not signed by the gateway"),
    "ORDER_NOT_FOUND": Sentence("订单不存在", "There is no such order"),
    "ORDER_NOT_PENDING": Sentence("订单已支付或已关闭", "This order is paid or closed"),
    "ORDER_NOT_REFUNDABLE": Sentence("订单不可退款", "There is nothing of this order to pay back"),
    "REFUND_TOO_LARGE": Sentence("退款金额超过可退金额", "More than what is left of this order can't be paid back"),
    "RETURN_URL_FORBIDDEN": Sentence("不允许的返回地址", "Payers can't be sent to this address"),
    "TOO_MANY_PENDING_ORDERS": Sentence(
        "待支付订单过多，请先支付或取消", "Too many orders wait for their payment: pay or cancel one first"
    ),
    "CASE_RESOLVED": Sentence("该事项已处理", "This case was resolved already"),
    "RESOLUTION_UNSUITABLE": Sentence("该事项不能这样处理", "This case can't be resolved in this way"),
    "STATEMENT_TOO_OLD": Sentence(
        "支付机构已不再提供该日账单", "The gateway does not give out the bill of this day any more"
    ),
    # Agents, projects and jobs.
    "AGENT_NOT_FOUND": Sentence("Agent不存在", "There is no such agent"),
    "AGENT_UNAVAILABLE": Sentence("Agent不存在或不可用", "This agent does not exist or is not available"),
    "AGENT_CHANGED": Sentence("Agent已被修改，请刷新后重试", "The agent has changed meanwhile, look at it again"),
    "AGENT_ARCHIVED": Sentence("Agent已下架", "The agent is archived"),
    "NOT_IN_REVIEW": Sentence("没有待审核的内容", "Nothing of this agent waits for a decision"),
    "TOO_MANY_UNPUBLISHED": Sentence("未发布的Agent过多", "You have too many unpublished agents"),
    "REVIEW_NOT_ALLOWED": Sentence("使用或购买后才能评价该Agent", "Only who has used or bought an agent may review it"),
    "CATEGORY_NOT_FOUND": Sentence("分类不存在", "There is no such category"),
    "CATEGORY_EXISTS": Sentence("分类标识已存在", "Another category has this slug"),
    "CATEGORY_IN_USE": Sentence("分类下仍有Agent", "There are agents in this category"),
    "PROJECT_NOT_FOUND": Sentence("项目不存在", "There is no such project"),
    "PROJECT_LIMIT": Sentence("项目数量已达上限", "You have as many projects as are allowed"),
    "PROJECT_PRIVATE": Sentence(
        "私有项目不能邀请成员，请先修改可见范围",
        "Nobody can be invited to a private project, change its visibility first",
    ),
    "VERSION_LIMIT": Sentence("项目版本数量已达上限", "This project has as many versions as are allowed"),
    "MEMBER_LIMIT": Sentence(
        "项目成员与邀请数量已达上限", "As many people as are allowed were invited to this project"
    ),
    "ALREADY_MEMBER": Sentence("该用户已是项目成员", "This user works on the project already"),
    "IMAGE_INVALID": Sentence("图片无法读取", "This picture cannot be read"),
    "IMAGE_TOO_LARGE": Sentence("图片尺寸过大", "This picture has too many pixels"),
    "FILE_QUOTA_EXCEEDED": Sentence("存储空间不足，请先删除一些文件", "Your storage is full, delete some files first"),
    "FILE_IN_USE": Sentence("文件正在使用中", "This file is in use"),
    "UPLOAD_MISSING": Sentence("文件尚未完整上传", "The file has not arrived whole"),
    "UPLOAD_FAILED": Sentence("文件未能处理，请重新上传", "The file could not be processed, send it again"),
    "TOO_MANY_WAITING": Sentence("排队中的任务过多，请稍后再试", "Too many of your jobs are waiting, try again later"),
    "DRAINING": Sentence("该服务正在维护，暂不接受新任务", "This service is under maintenance and takes no new jobs"),
    "GENERATION_FAILED": Sentence("AI生成失败，请稍后重试", "The generation failed, try again later"),
    "JOB_FINISHED": Sentence("任务已结束", "The job has ended already"),
    "RESULT_EXPIRED": Sentence(
        "结果已过保存期，无法再获取", "The result was kept for as long as promised, and is gone"
    ),
    "JOB_NOT_FINISHED": Sentence("任务尚未完成", "The job has not ended yet"),
    "JOB_NOT_FAILED": Sentence("只有失败或已取消的任务可以重试", "Only a failed or canceled job can be tried again"),
    "JOB_REPLAYED": Sentence("该任务已重新执行过", "This job was tried again already"),
    "JOB_TOO_OLD": Sentence("任务时间过久，不能重放", "This job ended too long ago to be replayed"),
    "LETTER_NOT_OPEN": Sentence("该死信已处理", "This dead letter was dealt with already"),
    "MESSAGE_UNREADABLE": Sentence("无法识别该消息，不能重发", "Nobody here can read this message"),
    "USER_DISABLED": Sentence("该用户已被停用", "This job's user may not spend anything"),
    "JOB_IS_STEP": Sentence(
        "该任务是另一任务的步骤，请操作整个任务", "This job is a step of another, which is to be asked"
    ),
    "BATCH_REFUSED": Sentence("批次中的任务均未被接受", "Not one of the items was accepted"),
    "LEASE_LOST": Sentence("任务已由其他进程接管", "Another worker has taken over this job"),
    "DEADLINE_EXCEEDED": Sentence("任务已超过截止时间", "The job did not finish before its deadline"),
    # Outgoing webhooks.
    "WEBHOOK_NOT_FOUND": Sentence("Webhook不存在", "There is no such webhook"),
    "EVENT_NOT_FOUND": Sentence("投递事件不存在", "There is no such event"),
    "WEBHOOK_LIMIT": Sentence("Webhook 数量已达上限", "You have as many webhooks as are allowed"),
    "WEBHOOK_SECRETS_OVERLAP": Sentence(
        "上一个密钥仍在有效期内，请用 drop 指明停用哪个密钥",
        "The previous secret still signs, say with drop which one is to stop",
    ),
    "WEBHOOK_DISABLED": Sentence("Webhook 已停用，请先启用", "This webhook is off, turn it on first"),
    "TOO_MANY_WEBHOOK_EVENTS": Sentence(
        "等待投递的事件过多，请稍后再试", "Too many events wait to be sent, try again later"
    ),
    # What a job may fail with.
    "WORKER_LOST": Sentence("执行任务的进程多次中断", "The workers that ran this job were lost"),
    "STEP_CANCELED": Sentence("任务的一个步骤被取消", "A step of the job was canceled"),
    "PROVIDER_UNKNOWN": Sentence("生成服务未安装", "This provider is not installed here"),
    "BROKER_UNAVAILABLE": Sentence("消息队列暂时不可用", "The message broker is unavailable for the moment"),
    "LEDGER_VIOLATED": Sentence("账目自检未通过", "The last self-check found that credits do not add up"),
    "PROVIDER_REJECTED": Sentence("生成服务拒绝了该请求", "The provider refused this request"),
    "PROVIDER_UNAVAILABLE": Sentence("生成服务暂时不可用", "The provider is unavailable for the moment"),
    "PROVIDER_PARAMETER_INVALID": Sentence("生成参数无效", "The provider cannot work with a parameter"),
    "PROVIDER_CONTENT_REFUSED": Sentence("内容未通过安全审核", "The content was refused by the content policy"),
    "PROVIDER_MODEL_MISSING": Sentence("所选模型不存在", "The provider does not know this model"),
    "PROVIDER_SPEECH_MISSING": Sentence("语音引擎未安装", "The speech engine is not installed here"),
    "PROVIDER_MISCONFIGURED": Sentence("生成服务配置有误，请联系管理员", "The provider is not set up correctly"),
    "PROVIDER_QUOTA_EXHAUSTED": Sentence("生成服务额度已用尽", "The provider's quota is used up"),
    "PROVIDER_THROTTLED": Sentence("生成服务繁忙，请稍后再试", "The provider is busy, try again later"),
    "PROVIDER_TIMEOUT": Sentence("生成服务超时", "The provider did not finish in time"),
    "PROVIDER_INTERRUPTED": Sentence("与生成服务的连接中断", "The connection to the provider was interrupted"),
    "PROVIDER_BAD_ANSWER": Sentence("生成服务返回了无效结果", "The provider gave an invalid answer"),
    "PROVIDER_TASK_LOST": Sentence(
        "生成服务丢失了该任务", "The provider took the job and knows nothing of it any more"
    ),
    "PROVIDER_NOT_TAKEN": Sentence("请求未送达生成服务", "The request did not reach the provider"),
    "PROVIDER_WEIGHTS_UNAVAILABLE": Sentence("模型文件不可用", "The model's weights are not available"),
    # What only operators see.
    "MAIL_UNAVAILABLE": Sentence("邮件服务暂时不可用", "The mail server is unavailable for the moment"),
    "MAIL_REJECTED": Sentence("邮件被拒收", "The mail server refused the e-mail"),
    "STORAGE_UNAVAILABLE": Sentence("文件存储暂时不可用", "The file store is unavailable for the moment"),
    "UNSUPPORTED_DATABASE": Sentence("不支持该数据库", "This database is not supported"),
    "BAD_SETTINGS": Sentence("配置无效", "The settings are not valid"),
}

# What can be wrong with one field, by the validator's own word, which is also the detail's `code`.
FIELD_UNKNOWN = Sentence("输入无效", "The value is not valid")
FIELDS: Mapping[str, Sentence] = {
    "missing": Sentence("必填", "This is required"),
    "extra_forbidden": Sentence("不支持该字段", "This field is not known"),
    "duplicate": Sentence("参数重复", "This parameter was given more than once"),
    "json_invalid": Sentence("JSON 格式错误", "This is not valid JSON"),
    "json_too_deep": Sentence("JSON 嵌套不能超过 {depth} 层", "JSON may be nested at most {depth} levels deep"),
    "model_type": Sentence("应为 JSON 对象", "This must be a JSON object"),
    "model_attributes_type": Sentence("应为 JSON 对象", "This must be a JSON object"),
    "dict_type": Sentence("应为 JSON 对象", "This must be a JSON object"),
    "list_type": Sentence("应为数组", "This must be an array"),
    "string_type": Sentence("应为字符串", "This must be a string"),
    "int_type": Sentence("应为整数", "This must be an integer"),
    "int_parsing_size": Sentence("整数过大", "This integer is too large"),
    "float_type": Sentence("应为数字", "This must be a number"),
    "finite_number": Sentence("应为有限数字", "This must be a finite number"),
    "number_too_large": Sentence("数字过大", "This number is too large"),
    "bool_type": Sentence("应为布尔值", "This must be true or false"),
    "string_too_short": Sentence("至少 {min_length} 个字符", "This needs at least {min_length} characters"),
    "string_too_long": Sentence("最多 {max_length} 个字符", "This may have at most {max_length} characters"),
    "string_pattern_mismatch": Sentence("格式不正确", "This does not have the right form"),
    "string_unicode": Sentence("应为有效的 UTF-8 文本", "This must be valid UTF-8 text"),
    "control_character": Sentence("不能包含控制字符", "This must not contain control characters"),
    "too_short": Sentence("至少 {min_length} 项", "This needs at least {min_length} items"),
    "too_many_results": Sentence("最多引用 {max} 个任务的结果", "This may speak of the results of at most {max} jobs"),
    "too_long": Sentence("最多 {max_length} 项", "This may have at most {max_length} items"),
    "submissions_per_minute": Sentence(
        "每分钟最多提交 {limit} 个任务", "No more than {limit} jobs may be submitted in a minute"
    ),
    "not_before": Sentence("开始时间必须早于结束时间", "The beginning must be before the end"),
    "too_many_steps": Sentence("时间范围过大", "This is too long a time for such steps"),
    "amount_of_case": Sentence("仅在确认退款时填写", "This is for accepting a refund only"),
    "credits_of_case": Sentence("仅在发放积分时填写，且必填", "This is for giving credits, and needed there"),
    "zero": Sentence("不能为 0", "This must not be 0"),
    "greater_than_equal": Sentence("不能小于 {ge}", "This must be at least {ge}"),
    "greater_than": Sentence("必须大于 {gt}", "This must be greater than {gt}"),
    "less_than_equal": Sentence("不能大于 {le}", "This must be at most {le}"),
    "less_than": Sentence("必须小于 {lt}", "This must be less than {lt}"),
    "literal_error": Sentence("可选值：{expected}", "This must be {expected}"),
    "enum": Sentence("可选值：{expected}", "This must be {expected}"),
    "uuid_parsing": Sentence("应为 UUID", "This must be a UUID"),
    "datetime_future": Sentence("应为将来的时间", "This must be a time to come"),
    "said_twice": Sentence("与另一字段重复，只能填写其一", "Another field says the same, give one of them"),
    "datetime_parsing": Sentence("应为 RFC 3339 时间", "This must be a time in RFC 3339 form"),
    "email": Sentence("邮箱格式不正确", "This is not an e-mail address"),
    "url": Sentence("网址格式不正确", "This is not an acceptable URL"),
    "url_scheme": Sentence("必须是 https 网址", "This must be an https address"),
    "url_userinfo": Sentence("网址不能包含用户名或密码", "This must not hold a user name or a password"),
    "url_port": Sentence("只允许 443 或 8443 端口", "Only the ports 443 and 8443 are possible"),
    "url_host": Sentence("必须是公网可访问的主机", "This must be a host on the public internet, in its plain form"),
    "body_broken": Sentence("请求内容不完整", "The body did not arrive whole"),
    "file_empty": Sentence("文件为空", "This file is empty"),
    "file_incomplete": Sentence("文件大小与声明不符", "This file does not have the size that was announced"),
    "header": Sentence("请求头无效", "This header is not valid"),
    "email_or_username": Sentence("请提供邮箱或用户名其中之一", "Give either an e-mail address or a username"),
    "needs_project": Sentence("需要同时提供 projectId", "This needs projectId"),
    "price_required": Sentence("该计价方式需要填写不小于 1 的价格", "This price type needs a price of at least 1"),
    "price_unused": Sentence("该计价方式没有这项价格", "This price type has no such price"),
    "pricing_unsupported": Sentence("暂时只支持固定价格", "Only fixed prices are possible for now"),
    "pricing_per_use_only": Sentence(
        "只有按次付费（pay_per_use）的Agent可以按量计价", "Only what is paid per use (pay_per_use) can be metered"
    ),
    "pricing_maximum_required": Sentence("按量计价必须设定上限", "A metered price needs a maximum"),
    "pricing_is_metered": Sentence(
        "按量计价时应省略，或与 pricing.maximum 相同", "Leave this out for a metered price, or make it pricing.maximum"
    ),
    "pricing_unit_mismatch": Sentence(
        "产出为 {kind} 的Agent不能按该单位计价", "An agent that makes {kind} has nothing of this unit"
    ),
    "pricing_quantity_unknown": Sentence(
        "该Agent的 inputData 或 config 中没有可计量的该字段", "The agent has no such field that could be counted"
    ),
    "pricing_quantity_type": Sentence(
        "该字段的类型不能计量：字符取自字符串，张数与秒数取自数字",
        "Characters are counted in a string, images and seconds come from a number",
    ),
    "quote_mismatch": Sentence("与获取报价时的内容不一致", "This is not what the quote was made for"),
    "category_unknown": Sentence("分类不存在", "There is no such category"),
    "provider_unknown": Sentence("平台没有该生成服务", "This is not a provider of this platform"),
    "provider_mismatch": Sentence("该生成服务产出的是 {kind}", "This provider makes {kind}"),
    "model_unknown": Sentence("该生成服务没有此模型", "This provider has no such model"),
    "parameter_unknown": Sentence("该生成服务没有此参数", "The provider has no such parameter"),
    "parameter_invalid": Sentence("该生成服务不接受此取值", "The provider does not take this value"),
    "placeholder_unknown": Sentence(
        "提示词模板引用了不存在的输入字段", "The template names a field that inputData has not"
    ),
    "package_broken": Sentence("无法读取该压缩包", "This is not a zip archive that can be read"),
    "package_unsafe": Sentence("压缩包内含不允许的文件", "The archive holds something that is no plain file"),
    "package_duplicate": Sentence("压缩包内文件重复", "The archive holds this more than once"),
    "yaml_invalid": Sentence("YAML 格式错误或使用了不支持的写法", "This is not valid YAML, or more than JSON can say"),
    "schema_dialect": Sentence("只支持 JSON Schema 2020-12", "Only JSON Schema 2020-12 is possible"),
    "schema_reference": Sentence("不支持引用（$ref 等）", "References ($ref and the like) are not possible"),
    "schema_too_complex": Sentence("最多 {parts_max} 个组成部分", "This may have at most {parts_max} parts"),
    "schema_mismatch": Sentence("不符合该Agent的要求", "This does not match the agent's schema"),
    "schema_invalid": Sentence("不是有效的 JSON Schema", "This is not a valid JSON Schema"),
    "mapping_invalid": Sentence("参数映射无效", "This is not a valid parameter mapping"),
    "json_too_large": Sentence("不能超过 {bytes_max} 字节", "This may have at most {bytes_max} bytes"),
}

BLOCKED: Mapping[str, Sentence] = {
    "queue_paused": Sentence("该队列已暂停，恢复后继续", "The queue is paused; the job runs when it is resumed"),
    "provider_capacity": Sentence(
        "生成服务繁忙或暂停，有空位后开始", "The provider has no room at the moment; the job starts when it has"
    ),
    "retry_backoff": Sentence(
        "上次尝试未成功，稍后自动重试", "The last attempt failed; the next one follows by itself"
    ),
    "user_window": Sentence(
        "您同时运行的任务已达上限，前面的任务结束后开始",
        "As many of your jobs are running as may be; the job starts when one of them ends",
    ),
    "waiting_for_worker": Sentence("正在等待空闲的工作进程", "Waiting for a free worker"),
}


def blocked(reason: str, locale: Locale) -> str:
    """Why a job is not running yet, as a sentence."""
    return BLOCKED[reason].text(locale)


def sentence(code: str, locale: Locale) -> str:
    """The sentence of a code; a neutral one for a code that the catalogue doesn't know."""
    return CODES.get(code, UNKNOWN).text(locale)


def field_sentence(code: str, context: Mapping[str, Any], locale: Locale) -> str | None:
    """What is wrong with a field, or None when the catalogue doesn't know this code."""
    template = FIELDS.get(code)
    if template is None:
        return None
    try:
        return template.text(locale).format_map(context)
    except KeyError:
        return FIELD_UNKNOWN.text(locale)


@lru_cache(maxsize=512)
def locale_of(accept_language: str | None) -> Locale:
    """The reader's language: Chinese, unless English is wanted more."""
    if not accept_language:
        return "zh"
    best: dict[str, float] = {}
    for part in accept_language[:200].split(","):
        tag, _, weight = part.strip().partition(";")
        language = tag.strip().lower().partition("-")[0]
        best[language] = max(best.get(language, 0.0), _weight(weight))
    return "en" if best.get("en", 0.0) > max(best.get("zh", 0.0), best.get("*", 0.0)) else "zh"


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
