eckart tensor tuker A.npy --rank 2
