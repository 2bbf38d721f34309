"""The currency codes that a contract accepts: ISO 4217, active codes and those retired since 1999.

The list of active codes was taken from the territories' current tenders in CLDR (as packaged by Babel) and is kept here
because the list changes about once a year and a lookup library would be a dependency for 170 words.
The euro's predecessors and recently replaced codes are in: order histories reach back.
Fund codes and metals (XAU, XDR, ...) are left out: nobody is paid in them.
"""

from __future__ import annotations

_CODES = (
    "AED AFN ALL AMD ANG AOA ARS ATS AUD AWG AZN BAM BBD BDT BEF BGN BHD BIF BMD BND BOB BRL BSD BTN "
    "BWP BYN BZD CAD CDF CHF CLP CNY COP CRC CUC CUP CVE CYP CZK DEM DJF DKK DOP DZD EEK EGP ERN ESP "
    "ETB EUR FIM FJD FKP FRF GBP GEL GHS GIP GMD GNF GRD GTQ GYD HKD HNL HRK HTG HUF IDR IEP ILS INR "
    "IQD IRR ISK ITL JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LTL LUF LVL "
    "LYD MAD MDL MGA MKD MMK MNT MOP MRU MTL MUR MVR MWK MXN MYR MZN NAD NGN NIO NLG NOK NPR NZD OMR "
    "PAB PEN PGK PHP PKR PLN PTE PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SIT SKK SLE SLL "
    "SOS SRD SSP STN SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST "
    "XAF XCD XCG XOF XPF YER ZAR ZMW ZWG ZWL "
)

ISO_4217: frozenset[str] = frozenset(_CODES.split())
