"""The messages of the Gemini API that the simulator knows, field by field (ai.google.dev/api/generate-content)."""

from connectors.simulator.gemini.fields import (
    BOOL,
    BYTES,
    FLOAT,
    INT,
    STRING,
    STRINGS,
    STRUCT,
    VALUE,
    Enum,
    Kind,
    Many,
    Message,
    Table,
)


def _each(kind: Kind, *names: str) -> dict[str, Kind]:
    return dict.fromkeys(names, kind)


_TYPES = ("STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL")
_SCHEMA: dict[str, Kind] = {
    "type": Enum("Type", _TYPES, any_case=True),
    "nullable": BOOL,
    **_each(STRINGS, "enum", "required", "propertyOrdering"),
    **_each(VALUE, "example", "default"),
    **_each(FLOAT, "minimum", "maximum"),
    **_each(STRING, "format", "title", "description", "pattern"),
    **_each(INT, "minItems", "maxItems", "minProperties", "maxProperties", "minLength", "maxLength"),
}
SCHEMA = Message(_SCHEMA)
_SCHEMA.update(properties=Table(SCHEMA), anyOf=Many(SCHEMA), items=SCHEMA)

_BLOB = Message({"mimeType": STRING, "data": BYTES, "displayName": STRING})
_FILE = Message({"mimeType": STRING, "fileUri": STRING, "displayName": STRING})
_CALL = Message({"id": STRING, "name": STRING, "args": STRUCT})
_RESPONSE = Message(
    {
        "id": STRING,
        "name": STRING,
        "response": STRUCT,
        "parts": Many(Message({"inlineData": _BLOB, "fileData": _FILE})),
        "willContinue": BOOL,
        "scheduling": STRING,
    }
)
_DATA: dict[str, Kind] = {
    "text": STRING,
    "inlineData": _BLOB,
    "fileData": _FILE,
    "functionCall": _CALL,
    "functionResponse": _RESPONSE,
    "executableCode": STRUCT,
    "codeExecutionResult": STRUCT,
}
DATA_FIELDS = frozenset(_DATA)
_ABOUT: dict[str, Kind] = {
    "thought": BOOL,
    "thoughtSignature": BYTES,
    "videoMetadata": STRUCT,
    "mediaResolution": STRUCT,
    "partMetadata": STRUCT,
}
_PART = Message(_DATA | _ABOUT, oneof=DATA_FIELDS)
CONTENT = Message({"role": STRING, "parts": Many(_PART)})

_DECLARATION = Message(
    {
        "name": STRING,
        "description": STRING,
        "behavior": STRING,
        "parameters": SCHEMA,
        "parametersJsonSchema": VALUE,
        "response": SCHEMA,
        "responseJsonSchema": VALUE,
    }
)
HOSTED_TOOLS = ("googleSearch", "googleSearchRetrieval", "codeExecution", "urlContext", "computerUse", "fileSearch")
_TOOL = Message({"functionDeclarations": Many(_DECLARATION), **_each(STRUCT, *HOSTED_TOOLS)})
_CALLING = Message(
    {
        "mode": Enum("FunctionCallingConfig.Mode", ("MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED")),
        "allowedFunctionNames": STRINGS,
    }
)
_LEVELS = ("THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH")
# The vendor's own examples write levels in lower case.
_THINKING = Message(
    {
        "includeThoughts": BOOL,
        "thinkingBudget": INT,
        "thinkingLevel": Enum("ThinkingConfig.ThinkingLevel", _LEVELS, any_case=True),
    }
)
_GENERATION = Message(
    {
        "responseMimeType": STRING,
        "responseSchema": SCHEMA,
        "responseJsonSchema": VALUE,
        "responseModalities": STRINGS,
        "stopSequences": STRINGS,
        "thinkingConfig": _THINKING,
        "mediaResolution": STRING,
        **_each(BOOL, "responseLogprobs", "enableEnhancedCivicAnswers"),
        **_each(INT, "candidateCount", "maxOutputTokens", "seed", "logprobs"),
        **_each(FLOAT, "temperature", "topP", "topK", "presencePenalty", "frequencyPenalty"),
        **_each(STRUCT, "speechConfig", "imageConfig"),
    }
)
GENERATE = Message(
    {
        "model": STRING,
        "systemInstruction": CONTENT,
        "contents": Many(CONTENT),
        "tools": Many(_TOOL),
        "toolConfig": Message({"functionCallingConfig": _CALLING, "retrievalConfig": STRUCT}),
        "safetySettings": Many(Message({"category": STRING, "threshold": STRING})),
        "generationConfig": _GENERATION,
        "cachedContent": STRING,
        "labels": Table(STRING),
        "serviceTier": STRING,
        "store": BOOL,
    }
)
COUNT = Message({"model": STRING, "contents": Many(CONTENT), "generateContentRequest": GENERATE})
EMBED = Message({"model": STRING, "content": CONTENT, "taskType": STRING, "title": STRING, "outputDimensionality": INT})
EMBED_MANY = Message({"model": STRING, "requests": Many(EMBED)})
