ORDER_KEY = "order:{pk}"


def order_key(pk):
    return ORDER_KEY.format(pk=pk)
